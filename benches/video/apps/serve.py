"""`serve.py PORT URLCONF`: views on our server, as a production server runs it: without a request log."""

import logging
import signal
import socket
import sys

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="a-benchmark-has-nothing-to-hide",
    ALLOWED_HOSTS=["127.0.0.1"],
    INSTALLED_APPS=["dwebsocket"],
    ROOT_URLCONF=sys.argv[2],
)
django.setup()

from django.core.wsgi import get_wsgi_application
from dwebsocket import conf, server

logging.getLogger("django.server").setLevel(logging.WARNING)
# Before any thread starts, so that all of them leave the signals to `sigwait`.
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
with socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1024) as listener:
    running = server.Server(get_wsgi_application(), [listener], conf.server_config())
    running.start()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    running.stop()
