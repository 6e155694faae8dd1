"""``gunicorn --worker-class dwebsocket.gunicorn.Worker project.wsgi``: its processes, our server in them."""

from .worker import Worker

__all__ = ("Worker",)
