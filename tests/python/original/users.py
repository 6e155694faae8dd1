"""Scenarios of what projects were seen to do with their sockets."""

from __future__ import annotations

import json
import threading

from django.http import HttpResponse
from dwebsocket import accept_websocket

from original.scenario import scenario

TEXT, CLOSE = 0x1, 0x8


@scenario(decorate=accept_websocket)
def received_text_is_decoded_in_the_three_usual_ways(request, see):
    see("str()", str(request.websocket.wait(), encoding="utf-8"))
    see("decode()", request.websocket.wait().decode())
    see("json", json.loads(request.websocket.wait()))


@received_text_is_decoded_in_the_three_usual_ways.played_by
def _(there, see):
    there.open().send((TEXT, "你好".encode()), (TEXT, "你好".encode()), (TEXT, '{"键": 1}'.encode()))


@scenario(decorate=accept_websocket)
def json_goes_out_by_dumps_and_encode(request, see):
    request.websocket.send(json.dumps({"a": "é"}))
    request.websocket.send(json.dumps({"a": "é"}, ensure_ascii=False).encode())


@json_goes_out_by_dumps_and_encode.played_by
def _(there, see):
    client = there.open()
    see("first", client.receive())
    see("second", client.receive())


everybody = {}


@scenario(decorate=accept_websocket)
def a_chat_over_a_dict_of_sockets(request, see):
    who = request.GET["who"]
    everybody[who] = request.websocket
    request.websocket.send(who + "is in")
    for message in request.websocket:
        if message is None:
            break
        for socket in everybody.values():
            socket.send(message)


@a_chat_over_a_dict_of_sockets.played_by
def _(there, see):
    gone, first, second = (there.open(f"?who={who}: ") for who in ("gone", "first", "second"))
    for client in (gone, first, second):
        client.receive()
    gone.send((CLOSE, b"\x03\xe8"))
    gone.receive()
    first.send((TEXT, b"from the first"))
    see("first hears", first.receive())
    see("second hears", second.receive())
    second.send((TEXT, b"from the second"))
    see("first hears more", first.receive())
    see("second hears more", second.receive())
    for client in (first, second):
        client.send((CLOSE, b"\x03\xe8"))
        client.receive()


subscribers = []


@scenario(decorate=accept_websocket)
def a_plain_view_sends_to_the_sockets_of_others(request, see):
    if not request.is_websocket():
        for subscriber in subscribers:
            see("send", subscriber.websocket.send, request.GET["text"])
        return HttpResponse("sent")
    subscribers.append(request)
    request.websocket.send("in")
    see("message", request.websocket.wait)
    return None


@a_plain_view_sends_to_the_sockets_of_others.played_by
def _(there, see):
    client = there.open()
    see("first", client.receive())
    see("http", there.get("?who=plain: &text=news").body)
    see("second", client.receive())
    client.send((TEXT, b"over"))


@scenario(decorate=accept_websocket)
def a_socket_is_a_key_and_a_member(request, see):
    websocket = request.websocket
    see("in a set", len({websocket, request.websocket}))
    see("in a dict", {websocket: "value"}[request.websocket])
    see("in a list", [websocket].index(request.websocket))
    see("equal to itself", websocket == request.websocket)
    see("true", bool(websocket))


@a_socket_is_a_key_and_a_member.played_by
def _(there, see):
    see("first", there.open().receive())


names = []


@scenario(decorate=accept_websocket)
def the_str_of_a_socket_names_it_for_as_long_as_it_lives(request, see):
    who, name = request.GET["who"], str(request.websocket)
    names.append(name)
    request.websocket.send("in")
    see(f"{who}end", request.websocket.wait)
    see(f"{who}the same at the end", str(request.websocket) == name)
    see(f"{who}different names", len(set(names)))


@the_str_of_a_socket_names_it_for_as_long_as_it_lives.played_by
def _(there, see):
    clients = [there.open(f"?who={who}: ") for who in ("a", "b")]
    for client in clients:
        client.receive()
    for client in clients:
        client.send((CLOSE, b"\x03\xe8"))
        client.receive()


@scenario(decorate=accept_websocket)
def the_article_control_loop(request, see):
    websocket, queue, answered = request.websocket, [], 0
    while answered < 10:
        if websocket.count_messages() > 0:
            message = websocket.read()
            while message:
                queue.append(message)
                message = websocket.read()
        if queue:
            message = queue.pop(0)
            while message:
                message = websocket.send(message)
            answered += 1
    see("answered", answered)


@the_article_control_loop.played_by
def _(there, see):
    client = there.open()
    for number in range(10):
        client.send((TEXT, b"%d" % number))
        see(f"answer {number}", client.receive())


@scenario(decorate=accept_websocket)
def a_thread_pushes_until_the_view_is_told_to_stop(request, see):
    stop = threading.Event()

    def push():
        while not stop.wait(0.005):
            request.websocket.send("tick")

    thread = threading.Thread(target=push)
    thread.start()
    see("told", request.websocket.wait)
    stop.set()
    thread.join()
    a_thread_pushes_until_the_view_is_told_to_stop.say("stopped")


@a_thread_pushes_until_the_view_is_told_to_stop.played_by
def _(there, see):
    client = there.open()
    see("first", client.receive())
    see("second", client.receive())
    client.send((TEXT, b"stop"))
    # In 0.5.12 a push to a client that is gone would end the socket before its last message is taken.
    there.hear("stopped")


@scenario(decorate=accept_websocket)
def a_loop_that_ends_at_the_first_falsy_message(request, see):
    taken = []
    while True:
        message = request.websocket.wait()
        if not message:
            break
        taken.append(message)
    see("taken", taken)


@a_loop_that_ends_at_the_first_falsy_message.played_by
def _(there, see):
    there.open().send((TEXT, b"1"), (TEXT, b"2"), (CLOSE, b"\x03\xe8"))
