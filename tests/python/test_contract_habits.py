"""What the users of dwebsocket 0.5.12 were seen to do with their sockets."""

from __future__ import annotations

import json
import time
from queue import Queue

import pytest
from dwebsocket.exceptions import ConnectionClosed
from serving import PATIENCE
from sockets import until


def test_received_text_is_bytes(sockets):
    ends = sockets.open()
    ends.say('{"键":1}', "你好", "你好")
    assert json.loads(ends.websocket.wait()) == {"键": 1}
    assert ends.websocket.wait().decode() == "你好"
    assert str(ends.websocket.wait(), encoding="utf-8") == "你好"


def test_json_dumps_and_encoded_text_go_out_as_text(sockets):
    ends = sockets.open()
    ends.websocket.send(json.dumps({"a": "é"}))
    ends.websocket.send("……".encode())
    assert json.loads(ends.client.recv(PATIENCE)) == {"a": "é"}
    assert ends.client.recv(PATIENCE) == "……"


def test_a_chat_over_a_dict_reaches_everybody_and_passes_the_dead(sockets):
    everybody = {}

    def chat(websocket):
        everybody[id(websocket)] = websocket
        for message in websocket:
            [each.send(b"%a" % message) for each in everybody.values()]
        return "ended"

    talkers = [sockets.open(chat) for _ in range(4)]
    until(lambda: len(everybody) == 4)
    talkers[0].client.close()
    assert talkers[0].result() == "ended"
    for number in range(20):
        talkers[1].client.send(str(number))
    for talker in talkers[1:]:
        heard = []
        while len(heard) < 20:
            message = talker.client.recv(PATIENCE)
            if message != "None":
                heard.append(message)
        assert heard == [f"b'{number}'" for number in range(20)]


@pytest.mark.parametrize("habit", ["is None", "is falsy"])
def test_a_loop_that_breaks_at_none_ends(sockets, habit):
    def view(websocket):
        for message in websocket:
            if message is None if habit == "is None" else not message:
                break
        return "ended"

    ends = sockets.open(view)
    ends.client.send("a message")
    ends.client.close()
    assert ends.result() == "ended"


def test_a_loop_without_end_is_ended_by_the_exception(sockets):
    def view(websocket):
        while True:
            websocket.wait()

    ends = sockets.open(view)
    ends.client.close()
    with pytest.raises(ConnectionClosed):
        ends.result()


def test_a_loop_that_breaks_at_eof_error_ends(sockets):
    def view(websocket):
        while True:
            try:
                websocket.read()
            except EOFError:
                return "ended"

    ends = sockets.open(view)
    ends.client.close()
    assert ends.result() == "ended"


@pytest.mark.alone
def test_a_loop_that_catches_everything_rests(sockets):
    turns = []

    def view(websocket):
        used = time.thread_time()
        end = time.monotonic() + 1
        while time.monotonic() < end:
            try:
                websocket.wait()
            except Exception:  # noqa: BLE001 -- the habit under test
                continue
            finally:
                turns.append(None)
        return time.thread_time() - used

    ends = sockets.open(view)
    ends.client.close()
    assert ends.result() < 0.1
    assert 5 < len(turns) < 100


@pytest.mark.alone
def test_a_push_loop_that_never_reads_ends_a_second_after_the_client_has_gone(sockets):
    def view(websocket):
        end = time.monotonic() + 10
        while time.monotonic() < end:
            websocket.send("tick")
            time.sleep(0.01)

    ends = sockets.open(view)
    assert ends.client.recv(PATIENCE) == "tick"
    gone = time.monotonic()
    ends.client.close()
    with pytest.raises(ConnectionClosed):
        ends.result()
    assert 0.9 < time.monotonic() - gone < 3


def test_the_article_control_loop_answers_and_ends(sockets):
    send_queue = Queue()

    def view(websocket):
        while True:
            if websocket.count_messages() > 0:
                message = websocket.read()
                while message:
                    send_queue.put(message)
                    message = websocket.read()
            if not send_queue.empty():
                message = send_queue.get()
                while message:
                    message = websocket.send(message)

    ends = sockets.open(view)
    for number in range(10):
        ends.client.send(str(number))
        assert ends.client.recv(PATIENCE) == str(number)
    ends.client.close()
    with pytest.raises(ConnectionClosed):
        ends.result()


def test_messages_of_several_mib_in_fragments_are_one_message(sockets):
    ends = sockets.open()
    photo = ["x" * (1 << 20)] * 4
    ends.client.send(photo)
    assert ends.websocket.wait(PATIENCE) == "".join(photo).encode()
