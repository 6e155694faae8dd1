"""The settings of the project on which the scenarios are played, for both libraries."""

import os

PROJECT = os.environ["ORIGINAL_PROJECT"]
"""Which of the projects: the original reads its settings once, at import, so each needs its own process."""

SECRET_KEY = "only for tests"
DEBUG = False
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["dwebsocket"]
MIDDLEWARE = []
ROOT_URLCONF = "original.site"
WSGI_APPLICATION = "original.site.application"
USE_TZ = True
LOGGING_CONFIG = None

if PROJECT in ("middleware", "accept_all"):
    MIDDLEWARE = ["original.site.Installed"]
if PROJECT == "accept_all":
    WEBSOCKET_ACCEPT_ALL = True
    WEBSOCKET_FACTORY_CLASS = "original.site.Factory"
