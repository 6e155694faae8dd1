"""The example project with one address more: an echo that sends each message back as the kind it came as.

It compresses every message for clients that offer it, and keeps the context."""

from article.settings import *  # noqa: F403 - settings build on settings

ROOT_URLCONF = "conformance_urls"
WEBSOCKET_TEXT_AS_STR = True
WEBSOCKET_COMPRESSION = True
WEBSOCKET_COMPRESSION_CONTEXT_TAKEOVER = True
WEBSOCKET_COMPRESSION_THRESHOLD_BYTES = 1
