"""Settings of the example project: what a Django project needs to serve one page and four WebSockets.

For trying things out on one's own machine: ``DEBUG`` is on and the key is no secret.
"""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = "an-example-has-nothing-to-hide"
DEBUG = True
ALLOWED_HOSTS = os.environ.get("ARTICLE_ALLOWED_HOSTS", "").split()

INSTALLED_APPS = [
    "dwebsocket",  # first: its runserver has to be found before that of staticfiles
    "django.contrib.staticfiles",
    "scenes",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "article.urls"
WSGI_APPLICATION = "article.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
    },
]

DATABASES: dict[str, dict[str, str]] = {}

TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"

# The source of scenes 3 and 4: whatever OpenCV opens (a file, rtmp://…, rtsp://…).
ARTICLE_VIDEO_URL = os.environ.get("ARTICLE_VIDEO_URL") or str(BASE_DIR / "media" / "sample.mp4")

# What the viewers of a live source see while it is lost.
ARTICLE_NO_SIGNAL = BASE_DIR / "media" / "no-signal.jpg"
