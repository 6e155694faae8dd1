"""The members of ``request.websocket``."""

from __future__ import annotations

import select
import socket
import threading
import time

from django.http import JsonResponse
from dwebsocket import accept_websocket
from dwebsocket.backends.default.websocket import DefaultWebSocket
from dwebsocket.websocket import WebSocket

from views import PATIENCE, at, outcome, readable, report, until


@at("echo")
@accept_websocket
def echo(request):
    for message in request.websocket:
        if message is not None:
            request.websocket.send(message)


@at("echo-binary")
@accept_websocket
def echo_binary(request):
    for message in request.websocket:
        if message is not None:
            request.websocket.send(message, binary=True)


@at("about")
@accept_websocket
def about(request):
    websocket = request.websocket
    known = [request.is_websocket(), bool(request.is_websocket)]
    if not request.is_websocket():
        return JsonResponse([*known, websocket], safe=False)
    websocket.send([*known, isinstance(websocket, WebSocket), isinstance(websocket, DefaultWebSocket)])


@at("wait")
@accept_websocket
def wait(request):
    report(request, outcome(request.websocket.wait), outcome(request.websocket.wait))


@at("wait-with-a-timeout")
@accept_websocket
def wait_with_a_timeout(request):
    for seconds in (0, 0.1):
        begun = time.monotonic()
        report(request, outcome(request.websocket.wait, seconds), time.monotonic() - begun)
    request.websocket.send(request.websocket.wait(PATIENCE))


@at("wait-for-ever")
@accept_websocket
def wait_for_ever(request):
    report(request, "waits")
    request.websocket.send(request.websocket.wait(-1))


@at("read")
@accept_websocket
def read(request):
    websocket = request.websocket
    report(request, outcome(websocket.read), outcome(websocket.read, "a fallback"))
    readable(websocket)
    report(request, outcome(websocket.read, "a fallback"))


@at("count")
@accept_websocket
def count(request):
    websocket = request.websocket
    report(request, websocket.has_messages(), websocket.count_messages())
    until(lambda: websocket.count_messages() == 3)
    for _ in range(3):
        report(request, websocket.has_messages(), websocket.count_messages(), outcome(websocket.read))
    report(request, websocket.has_messages(), websocket.count_messages())


@at("iterate")
@accept_websocket
def iterate(request):
    report(request, outcome(list, request.websocket))


@at("send")
@accept_websocket
def send(request):
    sent = ("text", "你好", b"bytes", "你好".encode(), {"a": [1, None]}, 7, True, None, "")
    report(request, *(outcome(request.websocket.send, message) for message in sent))


@at("send-what-is-not-utf8")
@accept_websocket
def send_what_is_not_utf8(request):
    report(request, outcome(request.websocket.send, b"\xff"), outcome(request.websocket.send, b"\xff", True))


@at("send-from-threads")
@accept_websocket
def send_from_threads(request):
    count, size = 50, 20_000
    start = threading.Barrier(4)

    def push(letter):
        start.wait(PATIENCE)
        for _ in range(count):
            request.websocket.send(letter * size)

    threads = [threading.Thread(target=push, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)


@at("close")
@accept_websocket
def close(request):
    code, reason = int(request.GET["code"]), request.GET["reason"]
    request.websocket.send("last words")
    request.websocket.close(code, reason.encode() if request.GET["as"] == "bytes" else reason)
    request.websocket.close(4999)
    report(request, request.websocket.closed, outcome(request.websocket.wait))


@at("close-from-a-thread")
@accept_websocket
def close_from_a_thread(request):
    closing = threading.Thread(target=request.websocket.close, args=(4001, "from a thread"))
    closing.start()
    report(request, outcome(request.websocket.wait), request.websocket.is_closed())
    closing.join(PATIENCE)


@at("closed")
@accept_websocket
def closed(request):
    websocket = request.websocket
    report(request, websocket.closed, websocket.is_closed(), websocket.protocol.is_closed())
    until(websocket.protocol.is_closed)
    report(request, websocket.closed, websocket.is_closed(), websocket.protocol.close_code)
    report(request, outcome(websocket.read), websocket.closed, websocket.is_closed())


@at("handle")
@accept_websocket
def handle(request):
    seen = []
    request.websocket.handle = lambda opcode, data: seen.append([opcode, data])
    request.websocket.send("ready")
    while request.websocket.wait() is not None:
        pass
    report(request, *seen)


@at("accept-again")
@accept_websocket
def accept_again(request):
    request.websocket.accept_connection()
    request.websocket.send("one handshake")


@at("select")
@accept_websocket
def select_beside_another(request):
    other, another = socket.socketpair()
    with other, another:
        names = {other: "the other", request.websocket.protocol.sock.fileno(): "the socket"}

        def ready(seconds=PATIENCE):
            return [names[each] for each in select.select(list(names), [], [], seconds)[0]]

        report(request, request.websocket.fileno() in names, ready(0))
        report(request, ready(), outcome(request.websocket.read), ready(0))
        another.send(b"x")
        report(request, ready(), outcome(other.recv, 1))
        report(request, ready(), outcome(request.websocket.read))


@at("control-frames")
@accept_websocket
def control_frames(request):
    request.websocket.protocol.write_ping(b"ping")
    request.websocket.protocol.write_pong(b"pong")
    request.websocket.send("sent")
    request.websocket.wait()
