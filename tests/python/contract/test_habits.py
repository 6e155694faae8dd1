"""What the users of dwebsocket 0.5.12 were seen to do, under every server."""

from __future__ import annotations

import contextlib
import json
import threading

import pytest
from servers import SIDE_BY_SIDE
from serving import PATIENCE
from sockets import TEXT


def test_received_text_is_bytes(talk):
    client = talk.open("decode")
    for message in ("你好", "你好", '{"键":1}'):
        client.send(message)
    assert talk.report() == ["你好", "你好", {"键": 1}]


def test_json_dumps_and_encoded_text_go_out_as_text(talk):
    client = talk.open("encode")
    assert json.loads(client.recv(PATIENCE)) == {"a": "é"}
    assert client.recv(PATIENCE) == "……"


def test_a_chat_over_a_dict_reaches_the_living_and_passes_the_dead(talk):
    talk.needs(SIDE_BY_SIDE)
    clients = {}
    for name in ("ann", "bob", "cid", "dan"):
        # A socket is in the dict once it has heard itself.
        clients[name] = talk.open("chat", name=name)
        clients[name].send(f"{name} is here")
        for client in clients.values():
            assert client.recv(PATIENCE) == f"{name} is here"
    clients.pop("ann").close()
    for client in clients.values():
        assert client.recv(PATIENCE) == "ann has left"
    clients.pop("bob").socket.close()
    for client in clients.values():
        assert client.recv(PATIENCE) == "bob has left"
    for number in range(20):
        clients["cid"].send(str(number))
    for client in clients.values():
        assert [client.recv(PATIENCE) for _ in range(20)] == [str(number) for number in range(20)]
    talk.get("empty-the-chat")


@pytest.fixture
def kept(talk):
    """A client whose request the project keeps."""
    talk.needs(SIDE_BY_SIDE)
    client = talk.open("keep-the-request", name="ann")
    assert client.recv(PATIENCE) == "kept"
    yield client
    talk.get("forget-the-requests")


def test_a_plain_view_sends_to_a_socket_whose_request_was_kept(talk, kept):
    assert talk.get("say", name="ann", message="hello").text == "None"
    assert kept.recv(PATIENCE) == "hello"


def test_a_thread_sends_to_a_socket_whose_request_was_kept(talk, kept):
    talk.get("say-from-a-thread", name="ann", message="hello")
    assert kept.recv(PATIENCE) == "hello"


def test_a_signal_sends_to_every_socket_whose_request_was_kept(talk, kept):
    second = talk.open("keep-the-request", name="bob")
    assert second.recv(PATIENCE) == "kept"
    talk.get("publish", message="hello")
    assert kept.recv(PATIENCE) == "hello"
    assert second.recv(PATIENCE) == "hello"


def test_sending_to_a_dead_socket_whose_request_was_kept_does_nothing(talk, kept):
    kept.close()
    for _ in range(5):
        assert talk.get("say", name="ann", message="hello").text == "None"


@pytest.mark.parametrize("habit", ["none", "falsy"])
def test_a_loop_that_breaks_at_none_ends(talk, habit):
    client = talk.open(f"break-at-{habit}")
    client.send("a message")
    client.close()
    assert talk.report() == ["ended"]


def test_a_loop_that_breaks_at_eof_error_ends(talk):
    talk.open("break-at-eof-error").close()
    assert talk.report() == ["ended"]


def test_a_loop_without_end_is_ended_by_the_exception_without_a_word(talk):
    talk.open("never-break").close()
    assert talk.report() == ["ended"]


@pytest.mark.alone
def test_a_loop_that_catches_everything_rests(talk):
    client = talk.open("catch-everything")
    client.send("a message")
    client.close()
    turns, used = talk.report()
    assert turns < 100
    assert used < 0.3


@pytest.mark.alone
def test_a_push_loop_that_never_reads_ends_a_second_after_the_client_has_gone(talk):
    client = talk.open("push-and-never-read")
    assert client.recv(PATIENCE) == "tick"
    with contextlib.suppress(OSError):
        client.socket.close()
    (seconds,) = talk.report()
    assert 0.9 < seconds < 3


@pytest.mark.alone
@pytest.mark.parametrize("call", ["read", "has_messages", "count_messages"])
def test_a_view_that_polls_takes_no_core_and_sees_a_message(talk, call):
    client = talk.open("poll", call=call)
    (share,) = talk.report()
    assert share < 0.25
    client.send("a message")
    assert client.recv(PATIENCE) == "seen"


def test_the_articles_control_loop_answers_and_ends(talk):
    client = talk.open("control-loop")
    for number in range(20):
        client.send(str(number))
        assert client.recv(PATIENCE) == str(number)
    client.close()
    assert talk.report() == ["ended"]


def test_each_message_reaches_exactly_one_of_several_takers(talk):
    client = talk.open("takers")
    for number in range(500):
        client.send(str(number))
    client.close()
    assert talk.report() == [list(range(500))]


def test_a_plain_view_answers_while_sockets_wait(talk):
    talk.needs(SIDE_BY_SIDE)
    clients = [talk.open("echo") for _ in range(10)]
    assert talk.get("plain").text == "plain"
    for client in clients:
        client.send("still here")
    for client in clients:
        assert client.recv(PATIENCE) == "still here"


def test_many_clients_at_once_hear_their_own_words(talk):
    talk.needs(SIDE_BY_SIDE)
    wrong = []

    def converse(name):
        client = talk.open_raw("echo")
        for number in range(50):
            message = b"%s %d" % (name, number)
            client.send(TEXT, message)
            if (heard := client.receive()) != (0x81, message):
                wrong.append((message, heard))

    threads = [threading.Thread(target=converse, args=(name,)) for name in (b"a", b"b", b"c", b"d", b"e")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert wrong == []
