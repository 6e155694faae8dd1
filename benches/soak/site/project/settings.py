"""Settings as ``startproject`` leaves them; times and buffers are shorter, so that they run out often."""

SECRET_KEY = "a-soak-has-nothing-to-hide"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]

INSTALLED_APPS = [
    "dwebsocket",
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

ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
USE_TZ = True

# By itself Django writes nothing of a view's exception where DEBUG is off: it mails it.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "[%(asctime)s] [%(levelname)s] %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "loggers": {"django": {"handlers": [], "propagate": True}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
}

WEBSOCKET_OUTBOX_BYTES = 256 << 10
WEBSOCKET_SEND_TIMEOUT_SECONDS = 6.0
WEBSOCKET_PING_INTERVAL_SECONDS = 5.0
WEBSOCKET_PING_TIMEOUT_SECONDS = 20.0
WEBSOCKET_CLOSE_TIMEOUT_SECONDS = 3.0
