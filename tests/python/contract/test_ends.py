"""What happens at the close, under every server."""

from __future__ import annotations

import pytest
from servers import END_BY_SIGINT, END_BY_SIGTERM, SIDE_BY_SIDE, SILENT_END_BY_SIGINT
from serving import PATIENCE
from sites import close_of
from sockets import CLOSE, TEXT, masked, until

NONE_OF_THE_END = {
    "wait": "None",
    "read": "None",
    "count_messages": "1",
    "has_messages": "True",
    "list": "[None]",
}
WAYS_TO_GO = {
    "a close with a code": (lambda client: client.send(CLOSE, b"\x0f\xa1because"), "4001 because"),
    "a close without a code": (lambda client: client.send(CLOSE), "1005"),
    "a FIN": (lambda client: client.close(), "1006"),
    "a RST": (lambda client: client.reset(), "1006"),
}
ways_to_go = pytest.mark.parametrize(("go", "end"), WAYS_TO_GO.values(), ids=WAYS_TO_GO)


def raised(end):
    return f"ConnectionClosed(ConnectionError, EOFError, ValueError): the WebSocket is closed ({end})"


@ways_to_go
@pytest.mark.parametrize("call", ["wait", "read"])
def test_wait_and_read_give_none_at_the_end_and_then_raise(talk, call, go, end):
    go(talk.open_raw("at-the-end", call=call))
    assert talk.report() == ["None", *[raised(end)] * 3]


@ways_to_go
@pytest.mark.parametrize(("call", "seen"), [("count_messages", "1"), ("has_messages", "True")])
def test_the_polls_see_the_none_until_it_is_taken_and_then_raise(talk, call, seen, go, end):
    go(talk.open_raw("at-the-end", call=call))
    assert talk.report() == [seen, seen, "None", raised(end)]


@ways_to_go
def test_iteration_gives_one_none_and_ends(talk, go, end):
    go(talk.open_raw("at-the-end", call="list"))
    assert talk.report() == ["[None]", *[raised(end)] * 3]


@ways_to_go
def test_what_arrived_before_the_end_comes_first(talk, go, end):
    client = talk.open_raw("what-came-before")
    client.send(TEXT, b"1")
    client.send(TEXT, b"2")
    # Behind an RST nothing would be left of what the server has not read yet.
    if end == "1006":
        client.send(9, b"read so far")
        assert client.receive() == (0x8A, b"read so far")
    go(client)
    assert talk.report() == [2, "b'1'", "b'2'", 1, "None"]


@ways_to_go
def test_a_push_loop_that_asks_for_closed_ends(talk, go, end):
    client = talk.open_raw("push-until-closed")
    assert client.receive() == (0x81, b"tick")
    go(client)
    assert talk.report() == ["ended"]


def test_a_message_in_the_packet_of_the_close_is_read(talk):
    client = talk.open_raw("iterate")
    client.socket.sendall(masked(TEXT, b"hi") + masked(CLOSE))
    assert talk.report() == ["[b'hi', None]"]


def test_frames_in_the_packet_of_the_handshake_are_answered(talk):
    behind = b"".join(masked(TEXT, b"%d" % number) for number in range(20))
    client = talk.open_raw("echo", behind)
    assert [client.receive() for _ in range(20)] == [(0x81, b"%d" % number) for number in range(20)]
    client.send(TEXT, b"and later")
    assert client.receive() == (0x81, b"and later")


def test_half_a_frame_in_the_packet_of_the_handshake_is_completed_by_the_next(talk):
    message = bytes(range(65, 91)) * 2000
    frame = masked(TEXT, message)
    client = talk.open_raw("echo", frame[:3000])
    client.socket.sendall(frame[3000:])
    assert client.receive() == (0x81, message)


def test_the_clients_close_is_echoed_with_its_code_and_reason(talk):
    client = talk.open_raw("echo")
    client.send(CLOSE, b"\x0f\xa1because")
    assert client.receive() == (0x88, b"\x0f\xa1because")
    assert client.receive() is None


def test_a_view_that_returns_closes_with_1000_and_no_byte_follows(talk):
    client = talk.open_raw("returns")
    assert client.receive() == (0x81, b"last words")
    assert client.receive() == (0x88, b"\x03\xe8")
    client.send(CLOSE, b"\x03\xe8")
    assert client.receive() is None


def test_a_view_that_raises_closes_with_1011_and_logs_one_traceback(talk):
    client = talk.open("raises")
    assert client.recv(PATIENCE) == "last words"
    assert close_of(client)[0] == 1011
    lines = talk.expect_lines(talk.served.server.error_line, "LookupError: in the socket's view")
    assert len([line for line in lines if line.startswith("Traceback")]) == 1
    # The next request comes after whatever else was to be said.
    assert talk.get("plain").status == 200


def test_a_clean_close_leaves_no_line_but_the_servers_own(talk):
    served = talk.served
    for view in ("returns", "echo"):
        client = talk.open(view)
        if view == "echo":
            client.send("last words")
        assert client.recv(PATIENCE) == "last words"
        if view == "returns":
            assert close_of(client) == (1000, "")
        client.close()
        served.wait_for_line(rf"/{view}/.*\b(101|200)\b", talk.before)
    assert talk.get("plain").status == 200
    assert served.unexpected() == []


def test_a_client_that_vanishes_leaves_no_line_but_the_servers_own(talk):
    for go, _ in WAYS_TO_GO.values():
        client = talk.open_raw("break-at-none")
        go(client)
        assert talk.report() == ["ended"]
    assert talk.get("plain").status == 200
    assert talk.served.unexpected() == []


def test_a_hundred_sockets_leave_no_descriptor(talk):
    def use_one(number):
        client = talk.open_raw("echo", masked(TEXT, b"%d" % number))
        assert client.receive() == (0x81, b"%d" % number)
        if number % 2:
            client.send(CLOSE)
            assert client.receive()[0] == 0x88
            assert client.receive() is None
        client.close()

    for number in range(20):
        use_one(number)
    before = talk.served.descriptors()
    for number in range(100):
        use_one(number)
    # A process of several that no socket reached before opens some for its runtime.
    until(lambda: talk.served.descriptors() < before + 20)


@pytest.fixture(params=["SIGTERM", "SIGINT"])
def ended(request, talk, another):
    """A server that was ended with sockets open: itself, its clients and the signal."""
    name = request.param
    talk.needs({"SIGTERM": END_BY_SIGTERM, "SIGINT": END_BY_SIGINT}[name])
    elsewhere = talk.elsewhere(another)
    clients = [elsewhere.open("waits") for _ in range(1 if SIDE_BY_SIDE in another.server.lacks else 5)]
    for client in clients:
        assert client.recv(PATIENCE) == "waits"
    # A terminal's Ctrl-C reaches every process of the server, a supervisor's signal the one it started.
    (another.running.interrupt if name == "SIGINT" else another.running.terminate)()
    return another, clients, name


def test_a_server_that_ends_closes_its_sockets_with_1001_and_does_not_wait_for_their_views(ended):
    server, clients, _ = ended
    for client in clients:
        assert close_of(client) == (1001, "")
    server.running.wait(10)


def test_a_server_that_ends_with_sockets_open_says_nothing_of_them(talk, ended):
    server, _, name = ended
    if name == "SIGINT":
        talk.needs(SILENT_END_BY_SIGINT)
    server.running.wait(10)
    assert server.unexpected() == []
