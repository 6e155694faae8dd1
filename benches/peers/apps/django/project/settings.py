"""Settings as ``startproject`` leaves them, for Django 3.0 to 5.2. BENCH_STACK: who serves the WebSockets."""

import os

STACK = os.environ["BENCH_STACK"]

SECRET_KEY = "a-benchmark-has-nothing-to-hide"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]

INSTALLED_APPS = [
    *{"ours": ["dwebsocket"], "channels": ["channels"]}.get(STACK, []),
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

if os.environ.get("BENCH_MIDDLEWARE") == "none":
    MIDDLEWARE = []

ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"
ASGI_APPLICATION = "project.asgi.application"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
USE_TZ = True

# Used with clients that offer it, which those of the other cases do not.
WEBSOCKET_COMPRESSION = True

LAYER = os.environ.get("BENCH_LAYER", "channels.layers.InMemoryChannelLayer")
CHANNEL_LAYERS = {"default": {"BACKEND": LAYER}}
if "redis" in LAYER:
    # Each consumer waits on a connection of its own, five seconds at a time. A pool has only a hundred by
    # itself, and they give up after five seconds.
    host = {"address": os.environ["BENCH_REDIS"], "max_connections": 10000, "socket_timeout": None}
    CHANNEL_LAYERS["default"]["CONFIG"] = {"hosts": [host]}
