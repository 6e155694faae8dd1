"""Scenarios of taking messages: wait, read, has_messages, count_messages, iteration, select."""

from __future__ import annotations

import select

from dwebsocket import accept_websocket

from original.scenario import arrived, scenario, until

TEXT, BINARY, CLOSE = 0x1, 0x2, 0x8


@scenario(decorate=accept_websocket)
def text_and_binary_messages_are_bytes(request, see):
    see("text", request.websocket.wait)
    see("binary", request.websocket.wait)
    see("letters beyond ASCII", request.websocket.wait)


@text_and_binary_messages_are_bytes.played_by
def _(there, see):
    there.open().send((TEXT, b"text"), (BINARY, b"\x00\xff"), (TEXT, "你好".encode()))


@scenario(decorate=accept_websocket)
def wait_gives_none_when_the_time_is_up(request, see):
    see("after 50 ms", request.websocket.wait, 0.05)
    see("after none", request.websocket.wait, 0)
    request.websocket.send("now")
    see("then", request.websocket.wait, 20)


@wait_gives_none_when_the_time_is_up.played_by
def _(there, see):
    client = there.open()
    see("first", client.receive())
    client.send((TEXT, b"a message"))


@scenario(decorate=accept_websocket)
def wait_of_no_time_takes_what_is_there(request, see):
    arrived(request.websocket)
    see("there", request.websocket.wait, 0)
    see("not there", request.websocket.wait, 0)


@wait_of_no_time_takes_what_is_there.played_by
def _(there, see):
    client = there.open()
    client.send((TEXT, b"a message"))
    see("first", client.receive())


@scenario(decorate=accept_websocket)
def wait_takes_the_timeout_of_minus_one_that_the_readme_documents(request, see):
    see("wait(-1)", request.websocket.wait, -1)


@wait_takes_the_timeout_of_minus_one_that_the_readme_documents.played_by
def _(there, see):
    there.open().send((TEXT, b"a message"))


@scenario(decorate=accept_websocket)
def wait_takes_its_timeout_by_name_and_as_a_fraction(request, see):
    see("by name", lambda: request.websocket.wait(timeout=0.01))
    see("not a number", request.websocket.wait, "soon")


@wait_takes_its_timeout_by_name_and_as_a_fraction.played_by
def _(there, see):
    see("first", there.open().receive())


@scenario(decorate=accept_websocket)
def read_gives_the_fallback_when_nothing_came(request, see):
    see("without one", request.websocket.read)
    see("with one", request.websocket.read, "a fallback")
    see("by name", lambda: request.websocket.read(fallback=0))


@read_gives_the_fallback_when_nothing_came.played_by
def _(there, see):
    see("first", there.open().receive())


@scenario(decorate=accept_websocket)
def read_takes_one_message_at_a_time(request, see):
    arrived(request.websocket, count=2, size=14)
    see("first", request.websocket.read, "a fallback")
    see("second", request.websocket.read, "a fallback")
    see("third", request.websocket.read, "a fallback")


@read_takes_one_message_at_a_time.played_by
def _(there, see):
    client = there.open()
    client.send((TEXT, b"1"), (TEXT, b"2"))
    see("first", client.receive())


@scenario(decorate=accept_websocket)
def has_messages_looks_and_does_not_take(request, see):
    see("before", request.websocket.has_messages)
    request.websocket.send("now")
    arrived(request.websocket)
    see("there", request.websocket.has_messages)
    see("still there", request.websocket.has_messages)
    see("taken", request.websocket.read)
    see("after", request.websocket.has_messages)


@has_messages_looks_and_does_not_take.played_by
def _(there, see):
    client = there.open()
    see("first", client.receive())
    client.send((TEXT, b"a message"))
    see("second", client.receive())


@scenario(decorate=accept_websocket)
def count_messages_of_one_is_one(request, see):
    see("before", request.websocket.count_messages)
    request.websocket.send("now")
    arrived(request.websocket)
    see("there", request.websocket.count_messages)
    see("still there", request.websocket.count_messages)
    see("taken", request.websocket.wait)
    see("after", request.websocket.count_messages)


@count_messages_of_one_is_one.played_by
def _(there, see):
    client = there.open()
    see("first", client.receive())
    client.send((TEXT, b"a message"))
    see("second", client.receive())


@scenario(decorate=accept_websocket)
def count_messages_of_three_that_wait(request, see):
    arrived(request.websocket, count=3, size=21)
    see("first look", request.websocket.count_messages)
    see("second look", request.websocket.count_messages)
    see("third look", request.websocket.count_messages)
    see("all of them", [request.websocket.read() for _ in range(4)])


@count_messages_of_three_that_wait.played_by
def _(there, see):
    client = there.open()
    client.send((TEXT, b"1"), (TEXT, b"2"), (TEXT, b"3"))
    see("first", client.receive())


@scenario(decorate=accept_websocket)
def iteration_gives_every_message_then_none_then_ends(request, see):
    see("all", list, request.websocket)


@iteration_gives_every_message_then_none_then_ends.played_by
def _(there, see):
    there.open().send((TEXT, b"1"), (BINARY, b"2"), (TEXT, b""), (CLOSE, b"\x03\xe8"))


@scenario(decorate=accept_websocket)
def iteration_can_be_left_and_taken_up_again(request, see):
    for message in request.websocket:
        see("in the first loop", message)
        break
    see("between", request.websocket.wait)
    see("in the second loop", next(iter(request.websocket)))


@iteration_can_be_left_and_taken_up_again.played_by
def _(there, see):
    client = there.open()
    client.send((TEXT, b"1"), (TEXT, b"2"), (TEXT, b"3"))
    see("first", client.receive())


@scenario(decorate=accept_websocket)
def an_empty_message_is_a_message(request, see):
    see("empty text", request.websocket.wait)
    see("empty binary", request.websocket.wait)


@an_empty_message_is_a_message.played_by
def _(there, see):
    there.open().send((TEXT, b""), (BINARY, b""))


@scenario(decorate=accept_websocket)
def a_burst_arrives_in_order_however_it_is_taken(request, see):
    websocket, taken = request.websocket, []
    while len(taken) < 100:
        taken.append(websocket.wait())
        if websocket.has_messages():
            taken.append(websocket.read())
        if websocket.count_messages():
            taken.append(next(iter(websocket)))
    see("in order", taken == [b"%d" % number for number in range(100)])


@a_burst_arrives_in_order_however_it_is_taken.played_by
def _(there, see):
    client = there.open()
    client.send(*((TEXT, b"%d" % number) for number in range(100)))
    see("first", client.receive())


@scenario(decorate=accept_websocket)
def messages_of_every_length_arrive_whole(request, see):
    for length in (125, 126, 65535, 65536, 300_000):
        see(f"{length} bytes", request.websocket.wait)


@messages_of_every_length_arrive_whole.played_by
def _(there, see):
    client = there.open()
    for length in (125, 126, 65535, 65536, 300_000):
        client.send((BINARY, (b"abcdefgh" * (length // 8 + 1))[:length]))


@scenario(decorate=accept_websocket)
def select_on_the_descriptor_tells_of_messages_and_the_end(request, see):
    descriptor = request.websocket.protocol.sock.fileno()

    def readable(seconds):
        return select.select([descriptor], [], [], seconds)[0] == [descriptor]

    see("before", readable(0))
    request.websocket.send("now")
    see("a message", readable(20))
    see("taken", request.websocket.read)
    see("after it", readable(0))
    request.websocket.send("go")
    see("the end", readable(20))
    see("the end, taken", request.websocket.read)


@select_on_the_descriptor_tells_of_messages_and_the_end.played_by
def _(there, see):
    client = there.open()
    see("first", client.receive())
    client.send((TEXT, b"a message"))
    see("second", client.receive())
    client.send((CLOSE, b"\x03\xe8"))


@scenario(decorate=accept_websocket)
def two_takers_share_the_messages(request, see):
    import threading

    taken, lock = [], threading.Lock()

    def take():
        while True:
            message = request.websocket.wait(0.05)
            if message is not None:
                with lock:
                    taken.append(message)
                return

    takers = [threading.Thread(target=take) for _ in range(2)]
    takers[0].start()
    until(lambda: len(taken) == 1)
    takers[1].start()
    until(lambda: len(taken) == 2)
    see("both", sorted(taken))


@two_takers_share_the_messages.played_by
def _(there, see):
    client = there.open()
    client.send((TEXT, b"1"), (TEXT, b"2"))
    see("first", client.receive())
