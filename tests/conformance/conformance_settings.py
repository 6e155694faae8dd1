"""The example project with one address more: an echo that sends each message back as the kind it came as."""

from article.settings import *  # noqa: F403 - settings build on settings

ROOT_URLCONF = "conformance_urls"
WEBSOCKET_TEXT_AS_STR = True
