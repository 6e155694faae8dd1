"""The ASGI application, as the documentation of Channels has it."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
http = get_asgi_application()

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.urls import path

from . import consumers

if os.environ.get("BENCH_CONSUMER") == "sync":
    routes = [
        path("echo", consumers.SyncEcho.as_asgi()),
        path("broadcast", consumers.SyncBroadcast.as_asgi()),
    ]
else:
    routes = [
        path("echo", consumers.Echo.as_asgi()),
        path("broadcast", consumers.Broadcast.as_asgi()),
    ]

application = ProtocolTypeRouter(
    {
        "http": http,
        "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(routes))),
    }
)
