"""What users of dwebsocket 0.5.12 were seen to do."""

from __future__ import annotations

import json
import threading
import time

from django.dispatch import Signal
from django.http import HttpResponse
from dwebsocket import accept_websocket, require_websocket
from dwebsocket.exceptions import ConnectionClosed

from views import PATIENCE, at, outcome, report

everybody = {}
kept_requests = {}
published = Signal()


@at("decode")
@accept_websocket
def decode(request):
    first = str(request.websocket.wait(), encoding="utf-8")
    second = request.websocket.wait().decode()
    third = json.loads(request.websocket.wait())
    report(request, first, second, third)


@at("encode")
@accept_websocket
def encode(request):
    request.websocket.send(json.dumps({"a": "é"}))
    request.websocket.send("……".encode())


@at("chat")
@accept_websocket
def chat(request):
    everybody[request.GET["name"]] = request.websocket
    for message in request.websocket:
        if not message:
            break
        for somebody in list(everybody.values()):
            somebody.send(message)
    for somebody in list(everybody.values()):
        somebody.send(request.GET["name"] + " has left")


@at("empty-the-chat")
def empty_the_chat(request):
    everybody.clear()
    return HttpResponse()


@at("keep-the-request")
@accept_websocket
def keep_the_request(request):
    kept_requests[request.GET["name"]] = request
    request.websocket.send("kept")
    for message in request.websocket:
        if message is None:
            break


@at("say")
def say(request):
    kept = kept_requests[request.GET["name"]]
    return HttpResponse(outcome(kept.websocket.send, request.GET["message"]))


@at("say-from-a-thread")
def say_from_a_thread(request):
    kept = kept_requests[request.GET["name"]]
    saying = threading.Thread(target=kept.websocket.send, args=[request.GET["message"]])
    saying.start()
    saying.join(PATIENCE)
    return HttpResponse()


def say_to_everybody(sender, message, **_):
    for kept in list(kept_requests.values()):
        kept.websocket.send(message)


published.connect(say_to_everybody)


@at("publish")
def publish(request):
    published.send(sender=None, message=request.GET["message"])
    return HttpResponse()


@at("forget-the-requests")
def forget_the_requests(request):
    kept_requests.clear()
    return HttpResponse()


@at("break-at-none")
@accept_websocket
def break_at_none(request):
    for message in request.websocket:
        if message is None:
            break
    report(request, "ended")


@at("break-at-falsy")
@require_websocket
def break_at_falsy(request):
    for message in request.websocket:
        if not message:
            break
    report(request, "ended")


@at("break-at-eof-error")
@accept_websocket
def break_at_eof_error(request):
    while True:
        try:
            request.websocket.read()
        except EOFError:
            break
    report(request, "ended")


@at("never-break")
@accept_websocket
def never_break(request):
    try:
        while True:
            request.websocket.wait()
    finally:
        report(request, "ended")


@at("catch-everything")
@accept_websocket
def catch_everything(request):
    turns, used, end = 0, time.thread_time(), None
    while end is None or time.monotonic() < end:
        try:
            request.websocket.wait()
        except Exception:  # noqa: BLE001 -- the habit under test
            continue
        finally:
            turns += 1
            if end is None and request.websocket.closed:
                turns, used, end = 0, time.thread_time(), time.monotonic() + 1
    report(request, turns, time.thread_time() - used)


@at("push-and-never-read")
@accept_websocket
def push_and_never_read(request):
    gone = None
    try:
        while True:
            request.websocket.send("tick")
            if gone is None and request.websocket.closed:
                gone = time.monotonic()
            time.sleep(0.01)
    finally:
        report(request, time.monotonic() - gone)


@at("poll")
@accept_websocket
def poll(request):
    call = getattr(request.websocket, request.GET["call"])
    begun, used = time.monotonic(), time.thread_time()
    while not call():
        if time.monotonic() - begun > 0.5 and used is not None:
            report(request, (time.thread_time() - used) / (time.monotonic() - begun))
            used = None
    request.websocket.send("seen")


@at("control-loop")
@accept_websocket
def control_loop(request):
    answers = []
    try:
        while True:
            if request.websocket.count_messages() > 0:
                message = request.websocket.read()
                while message:
                    answers.append(message)
                    message = request.websocket.read()
            while answers:
                request.websocket.send(answers.pop(0))
    finally:
        report(request, "ended")


@at("takers")
@accept_websocket
def takers(request):
    websocket = request.websocket
    taken = [[] for _ in range(4)]

    def take(number):
        try:
            for message in websocket:
                if message is not None:
                    taken[number].append(int(message))
        except ConnectionClosed:
            # It began after another had taken the None of the end.
            pass

    threads = [threading.Thread(target=take, args=(number,)) for number in range(len(taken))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    report(request, sorted(number for each in taken for number in each))
