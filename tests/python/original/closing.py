"""Scenarios in which the client ends the socket."""

from __future__ import annotations

from dwebsocket import accept_websocket

from original.scenario import arrived, ended, scenario

TEXT, CLOSE = 0x1, 0x8


def with_a_close(there, see):
    client = there.open()
    client.send((CLOSE, b"\x03\xe8"))
    see("answer", client.receive())


def with_a_close_and_a_goodbye(there, see):
    # The original's polls look at the connection, so it matters that this is gone, too.
    client = there.open()
    client.send((CLOSE, b"\x03\xe8"))
    see("answer", client.receive())
    client.close()
    there.say("gone")


def with_a_close_and_staying_connected(there, see):
    client = there.open()
    client.send((CLOSE, b"\x03\xe8"))
    see("answer", client.receive())
    there.hear("over")


def by_vanishing(there, see):
    there.open().close()


def by_a_reset(there, see):
    there.open().reset()


def take_until_it_raises(take, see, limit=4):
    """Takes the end several times; what raises once is not asked again."""
    for number in range(1, limit + 1):
        if see(f"take {number}", take) is None and isinstance(see.seen[f"take {number}"], list):
            return


@scenario(decorate=accept_websocket)
def wait_after_the_clients_close(request, see):
    take_until_it_raises(request.websocket.wait, see)


wait_after_the_clients_close.played_by(with_a_close)


@scenario(decorate=accept_websocket)
def wait_after_the_client_vanished(request, see):
    take_until_it_raises(request.websocket.wait, see)


wait_after_the_client_vanished.played_by(by_vanishing)


@scenario(decorate=accept_websocket)
def wait_after_the_client_reset_the_connection(request, see):
    ended(request.websocket)
    take_until_it_raises(request.websocket.wait, see)


wait_after_the_client_reset_the_connection.played_by(by_a_reset)


@scenario(decorate=accept_websocket)
def read_after_the_clients_close(request, see):
    ended(request.websocket)
    see("the None", request.websocket.read, "a fallback")
    read_after_the_clients_close.hear("gone")
    take_until_it_raises(request.websocket.read, see)


read_after_the_clients_close.played_by(with_a_close_and_a_goodbye)


@scenario(decorate=accept_websocket)
def read_after_the_client_vanished(request, see):
    ended(request.websocket)
    take_until_it_raises(request.websocket.read, see)


read_after_the_client_vanished.played_by(by_vanishing)


@scenario(decorate=accept_websocket)
def has_messages_after_the_clients_close(request, see):
    ended(request.websocket)
    see("before the None", request.websocket.has_messages)
    see("again", request.websocket.has_messages)
    see("the None", request.websocket.read)
    has_messages_after_the_clients_close.hear("gone")
    see("after it", request.websocket.has_messages)


has_messages_after_the_clients_close.played_by(with_a_close_and_a_goodbye)


@scenario(decorate=accept_websocket)
def count_messages_after_the_clients_close(request, see):
    ended(request.websocket)
    see("before the None", request.websocket.count_messages)
    see("the None", request.websocket.read)
    count_messages_after_the_clients_close.hear("gone")
    see("after it", request.websocket.count_messages)


count_messages_after_the_clients_close.played_by(with_a_close_and_a_goodbye)


@scenario(decorate=accept_websocket)
def polls_after_the_end_while_the_client_stays_connected(request, see):
    see("the None", request.websocket.wait)
    see("read", request.websocket.read, "a fallback")
    see("has_messages", request.websocket.has_messages)
    see("count_messages", request.websocket.count_messages)
    polls_after_the_end_while_the_client_stays_connected.say("over")


polls_after_the_end_while_the_client_stays_connected.played_by(with_a_close_and_staying_connected)


@scenario(decorate=accept_websocket)
def iteration_after_the_clients_close(request, see):
    see("all", list, request.websocket)
    see("once more", list, request.websocket)


iteration_after_the_clients_close.played_by(with_a_close)


@scenario(decorate=accept_websocket)
def iteration_after_the_client_vanished(request, see):
    see("all", list, request.websocket)


iteration_after_the_client_vanished.played_by(by_vanishing)


@scenario(decorate=accept_websocket)
def what_came_before_the_end_is_taken_first(request, see):
    arrived(request.websocket, count=4, size=28)
    ended(request.websocket)
    see("wait", request.websocket.wait)
    see("read", request.websocket.read)
    see("iteration", next(iter(request.websocket)))
    see("has_messages", request.websocket.has_messages)
    see("the last", request.websocket.wait)
    see("the end", request.websocket.wait)


@what_came_before_the_end_is_taken_first.played_by
def _(there, see):
    client = there.open()
    client.send((TEXT, b"1"), (TEXT, b"2"), (TEXT, b"3"), (TEXT, b"4"))
    client.close()


@scenario(decorate=accept_websocket)
def closed_before_the_end_is_taken(request, see):
    ended(request.websocket)
    see("closed", request.websocket.closed)
    see("is_closed", request.websocket.is_closed)
    see("protocol.is_closed", request.websocket.protocol.is_closed)


closed_before_the_end_is_taken.played_by(with_a_close)


@scenario(decorate=accept_websocket)
def closed_after_the_end_was_taken(request, see):
    see("before", [request.websocket.closed, request.websocket.is_closed()])
    request.websocket.send("now")
    see("the end", request.websocket.wait)
    see("closed", request.websocket.closed)
    see("is_closed", request.websocket.is_closed)
    see("protocol.is_closed", request.websocket.protocol.is_closed)


@closed_after_the_end_was_taken.played_by
def _(there, see):
    client = there.open()
    see("first", client.receive())
    client.send((CLOSE, b"\x03\xe8"))


@scenario(decorate=accept_websocket)
def a_push_loop_that_asks_is_closed(request, see):
    import time

    request.websocket.send("now")
    ended(request.websocket)
    deadline = time.monotonic() + 1
    while not request.websocket.closed and time.monotonic() < deadline:
        request.websocket.send("tick")
        time.sleep(0.01)
    see("the loop ended by itself", request.websocket.closed)


@a_push_loop_that_asks_is_closed.played_by
def _(there, see):
    client = there.open()
    see("first", client.receive())
    client.reset()


@scenario(decorate=accept_websocket)
def the_code_and_reason_of_the_clients_close(request, see):
    see("before", [request.websocket.protocol.close_code, request.websocket.protocol.close_reason])
    request.websocket.send("now")
    see("the end", request.websocket.wait)
    see("code", request.websocket.protocol.close_code)
    see("reason", request.websocket.protocol.close_reason)


@the_code_and_reason_of_the_clients_close.played_by
def _(there, see):
    client = there.open()
    see("first", client.receive())
    client.send((CLOSE, b"\x0f\xa1because"))
    see("echo", client.receive())


@scenario(decorate=accept_websocket)
def the_code_of_a_close_without_one(request, see):
    see("the end", request.websocket.wait)
    see("code", request.websocket.protocol.close_code)
    see("reason", request.websocket.protocol.close_reason)


@the_code_of_a_close_without_one.played_by
def _(there, see):
    client = there.open()
    client.send((CLOSE, b""))
    see("echo", client.receive())


@scenario(decorate=accept_websocket)
def the_code_of_a_client_that_vanished(request, see):
    see("the end", request.websocket.wait)
    see("code", request.websocket.protocol.close_code)


the_code_of_a_client_that_vanished.played_by(by_vanishing)


@scenario(decorate=accept_websocket)
def a_message_behind_the_clients_close(request, see):
    see("all", list, request.websocket)


@a_message_behind_the_clients_close.played_by
def _(there, see):
    client = there.open()
    client.send((TEXT, b"1"), (CLOSE, b"\x03\xe8"), (TEXT, b"behind it"))
    see("answer", client.receive())


@scenario(decorate=accept_websocket)
def a_close_of_one_byte(request, see):
    see("the end", request.websocket.wait)


@a_close_of_one_byte.played_by
def _(there, see):
    client = there.open()
    client.send((CLOSE, b"\x03"))
    see("answer", client.receive(reason=False))


@scenario(decorate=accept_websocket)
def a_loop_without_end_around_wait(request, see):
    while True:
        request.websocket.wait()


a_loop_without_end_around_wait.played_by(with_a_close)


@scenario(decorate=accept_websocket)
def a_loop_around_read_that_catches_eof_error(request, see):
    # On the original's gunicorn it is no EOFError but a ValueError, which leaves the view.
    while True:
        try:
            request.websocket.read()
        except EOFError:
            break


a_loop_around_read_that_catches_eof_error.played_by(with_a_close_and_a_goodbye)


@scenario(decorate=accept_websocket)
def what_came_before_a_close_is_answered_before_it(request, see):
    for message in request.websocket:
        if message is None:
            break
        see(f"answer to {message}", request.websocket.send, message)


@what_came_before_a_close_is_answered_before_it.played_by
def _(there, see):
    client = there.open()
    client.send((TEXT, b"1"), (TEXT, b"2"), (CLOSE, b"\x03\xe8"))
    for number in range(3):
        see(f"frame {number}", client.receive())


@scenario(decorate=accept_websocket)
def a_client_that_only_stops_sending(request, see):
    see("message", request.websocket.wait)
    ended(request.websocket)
    see("answer", request.websocket.send, "an answer")


@a_client_that_only_stops_sending.played_by
def _(there, see):
    client = there.open()
    client.send((TEXT, b"a question"))
    client.stop_sending()
    see("first", client.receive())


@scenario(decorate=accept_websocket)
def half_a_message_and_then_nothing(request, see):
    see("taken", list, request.websocket)


@half_a_message_and_then_nothing.played_by
def _(there, see):
    client = there.open()
    client.send_bytes(b"\x81\x82\0\0\0\0hi", b"\x81\x85\0\0\0\0hal")
    client.close()
