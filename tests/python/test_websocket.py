"""What ``request.websocket`` adds to that of dwebsocket 0.5.12."""

from __future__ import annotations

import copy
import pickle
import threading
import weakref

import pytest
from django.utils.functional import lazystr
from dwebsocket.exceptions import ConnectionClosed, SlowClient
from dwebsocket.websocket import WebSocket
from serving import PATIENCE


class Handshake:
    """An upgrade that nobody may accept."""

    subprotocols = ()

    def accept(self, *_, **__):
        raise AssertionError("accepted")


# Before it is open.


@pytest.mark.parametrize(
    "use",
    [
        WebSocket.wait,
        WebSocket.read,
        WebSocket.has_messages,
        WebSocket.count_messages,
        lambda websocket: next(iter(websocket)),
        lambda websocket: websocket.send("x"),
        WebSocket.ping,
        WebSocket.fileno,
    ],
)
def test_a_use_before_accept_connection_says_so(use):
    with pytest.raises(RuntimeError, match="accept_connection"):
        use(WebSocket(Handshake()))


def test_a_websocket_that_is_not_open_is_not_closed_either():
    unopened = WebSocket(Handshake())
    assert unopened.closed is False
    assert unopened.close_code is None


def test_close_before_accept_connection_gives_the_handshake_up():
    refused = WebSocket(Handshake())
    refused.close()
    assert refused.is_closed() is True
    assert refused.send("dropped") is None
    for use in (refused.accept_connection, refused.wait, refused.count_messages):
        with pytest.raises(ConnectionClosed):
            use()


def test_a_handshake_is_accepted_only_once(sockets):
    caught = []

    def twice(socket):
        second = WebSocket(socket._upgrade)
        try:
            second.accept_connection()
        except RuntimeError as error:
            caught.append(str(error))

    sockets.open(twice).result()
    assert caught == ["the handshake has already been answered"]


# Subprotocols.


def test_accept_connection_chooses_a_subprotocol(sockets):
    sockets.accept = {"subprotocol": "superchat"}
    ends = sockets.open(subprotocols=["chat", "superchat"])
    assert ends.websocket.subprotocol == "superchat"
    assert ends.client.subprotocol == "superchat"


def test_no_subprotocol_is_chosen_by_itself(sockets):
    ends = sockets.open(subprotocols=["chat"])
    assert ends.websocket.subprotocol is None
    assert ends.client.subprotocol is None


def test_a_subprotocol_the_client_does_not_offer_is_a_value_error_and_the_handshake_can_still_be_accepted(
    sockets,
):
    caught = []

    def configure(socket):
        assert socket._upgrade.subprotocols == ("chat",)
        try:
            socket.accept_connection("other")
        except ValueError as error:
            caught.append(error)
        assert socket._upgrade.accepted is False

    sockets.configure = configure
    ends = sockets.open(subprotocols=["chat"])
    assert len(caught) == 1
    assert ends.websocket._upgrade.accepted is True


# What is received and sent.


def test_text_is_str_when_the_setting_says_so_and_binary_stays_bytes(sockets, setting):
    setting("WEBSOCKET_TEXT_AS_STR", True)
    ends = sockets.open()
    ends.say("té\x00xt 🎉", b"\xff")
    assert [ends.websocket.wait(), ends.websocket.wait()] == ["té\x00xt 🎉", b"\xff"]


def test_a_lazy_string_is_sent_as_text_and_not_as_json(sockets):
    ends = sockets.open()
    ends.websocket.send(lazystr("später"))
    ends.websocket.send({"when": lazystr("später")})
    assert ends.client.recv(PATIENCE) == "später"
    assert ends.client.recv(PATIENCE) == '{"when":"später"}'


def test_a_str_subclass_is_sent_as_the_text_it_holds(sockets):
    class Tag(str):
        def __str__(self):
            return "something else"

    ends = sockets.open()
    ends.websocket.send(Tag("the text"))
    assert ends.client.recv(PATIENCE) == "the text"


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("\ud800", ValueError),
        ({"a": float("nan")}, ValueError),
        (object(), TypeError),
        ([b"bytes"], TypeError),
    ],
)
def test_what_cannot_be_sent_raises_and_leaves_the_socket_open(sockets, message, error):
    ends = sockets.open()
    with pytest.raises(error):
        ends.websocket.send(message)
    ends.websocket.send("still open")
    assert ends.client.recv(PATIENCE) == "still open"


def test_ping_takes_what_fits_a_control_frame(sockets):
    ends = sockets.open(raw=True)
    ends.websocket.ping("é")
    assert ends.client.receive() == (0x89, "é".encode())
    for too_long in (b"x" * 126, "é" * 63):
        with pytest.raises(ValueError, match="126 bytes"):
            ends.websocket.ping(too_long)
        with pytest.raises(ValueError, match="126 bytes"):
            ends.websocket.pong(too_long)


def test_counts_tell_what_went_each_way(sockets):
    ends = sockets.open()
    ends.say("12345", b"123")
    ends.websocket.send("1234567")
    assert ends.client.recv(PATIENCE) == "1234567"
    counts = ends.websocket._connection.counts
    assert (counts["received_messages"], counts["received_bytes"]) == (2, 8)
    assert (counts["sent_messages"], counts["sent_bytes"]) == (1, 9)
    assert counts["dropped_messages"] == 0


# Several takers.


def test_every_taker_that_waits_is_told_of_the_end(sockets, in_thread):
    ends = sockets.open()
    begun = threading.Barrier(9)

    def by_waiting():
        begun.wait(PATIENCE)
        return ends.websocket.wait()

    def by_iterating():
        iterator = iter(ends.websocket)
        begun.wait(PATIENCE)
        return list(iterator)[-1]

    takers = [in_thread(by_waiting) for _ in range(4)] + [in_thread(by_iterating) for _ in range(4)]
    begun.wait(PATIENCE)
    ends.client.close()
    outcomes = []
    for taker in takers:
        try:
            outcomes.append(taker.result(PATIENCE))
        except ConnectionClosed:
            # It began after another had taken the None.
            outcomes.append(ConnectionClosed)
    assert None in outcomes


def test_an_iteration_that_began_before_the_end_ends_though_another_took_the_none(sockets):
    ends = sockets.open()
    iterator = iter(ends.websocket)
    ends.say("first")
    assert next(iterator) == b"first"
    ends.client.close()
    assert ends.websocket.wait() is None
    assert list(iterator) == [None]


# The object itself.


@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_websocket_cannot_be_pickled_or_copied(sockets, take):
    ends = sockets.open()
    with pytest.raises(TypeError, match="cannot be pickled or copied"):
        take(ends.websocket)


def test_a_websocket_takes_attributes_and_weak_references_and_is_true(sockets):
    ends = sockets.open()
    ends.websocket.user = "somebody"
    assert weakref.ref(ends.websocket)() is ends.websocket
    assert bool(ends.websocket) is True
    assert len({ends.websocket, ends.websocket}) == 1


def test_the_str_of_a_socket_names_it_and_no_other_for_as_long_as_it_lives(sockets):
    ends, others = sockets.open(), sockets.open()
    name = str(ends.websocket)
    assert name.startswith("<WebSocket without a path at 0x")
    assert name != str(others.websocket)
    ends.websocket.close()
    assert str(ends.websocket) == name


def test_connection_closed_is_what_old_views_catch():
    error = ConnectionClosed(4001, "because")
    assert isinstance(error, ConnectionError)
    assert isinstance(error, EOFError)
    assert isinstance(error, ValueError)
    assert (error.code, error.reason, error.errno) == (4001, "because", None)
    assert str(error) == "the WebSocket is closed (4001 because)"
    assert str(ConnectionClosed()) == "the WebSocket is closed (1006)"


def test_connection_closed_survives_pickle():
    for error in (ConnectionClosed(4001, "because"), SlowClient(1013)):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), again.code, again.reason) == (type(error), error.code, error.reason)
        assert str(again) == str(error)
