"""`serve.py PORT`: the project on our server, as a production server runs it: without a request log."""

import logging
import os
import signal
import socket
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
django.setup()

from dwebsocket import conf, server
from project.wsgi import application

logging.getLogger("django.server").setLevel(logging.WARNING)
# Before any thread starts, so that all of them leave the signals to `sigwait`.
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
with socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1024) as listener:
    running = server.Server(application, [listener], conf.server_config())
    running.start()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    running.stop()
