"""Views behind and below other decorators, classes, and views that take no WebSocket."""

from __future__ import annotations

from django.contrib.auth import get_user_model, login
from django.contrib.auth.decorators import login_required, permission_required
from django.http import HttpResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from dwebsocket import accept_websocket, require_websocket

from views import at

try:
    from rest_framework.decorators import api_view
    from rest_framework.views import APIView
except ImportError:
    api_view = APIView = None


def talk(request):
    """Answers one message; says "http" to plain HTTP."""
    if not request.is_websocket():
        return HttpResponse("http")
    request.websocket.send(request.websocket.wait())


at("plain")(lambda request: HttpResponse("plain"))
at("accept")(accept_websocket(talk))
at("require")(require_websocket(talk))
at("accepted-twice")(accept_websocket(accept_websocket(talk)))

at("login-above")(login_required(accept_websocket(talk)))
at("login-below")(accept_websocket(login_required(talk)))
at("permission-above")(permission_required("auth.add_user", raise_exception=True)(accept_websocket(talk)))
at("permission-below")(accept_websocket(permission_required("auth.add_user", raise_exception=True)(talk)))
at("csrf-exempt-above")(csrf_exempt(accept_websocket(talk)))
at("csrf-exempt-below")(accept_websocket(csrf_exempt(talk)))


@at("log-in")
def log_in(request):
    users = get_user_model().objects
    user = users.filter(username="ann").first() or users.create_superuser("ann")
    login(request, user, "django.contrib.auth.backends.ModelBackend")
    return HttpResponse()


@at("user")
@accept_websocket
def user(request):
    request.websocket.send(request.user.username)


class Talk(View):
    """A class-based view."""

    def get(self, request):
        return talk(request)


at("class")(method_decorator(accept_websocket, name="dispatch")(Talk).as_view())

if api_view is not None:

    @at("rest-function")
    @accept_websocket
    @api_view(["GET"])
    def rest_function(request):
        return talk(request) or HttpResponse()

    class RestTalk(APIView):
        """A class of Django REST framework."""

        def get(self, request):
            return talk(request) or HttpResponse()

    at("rest-class")(method_decorator(accept_websocket, name="dispatch")(RestTalk).as_view())
