"""The Python way: each view opens the camera for its viewer, and makes JSON of each picture."""

import base64
import json
import os

import cv2
from counting import count
from django.urls import path
from dwebsocket import accept_websocket

SIZES = {"full": (None, 80), "small": ((640, 360), 50)}


@accept_websocket
def show(request, size, form):
    """Shows the camera."""
    shape, quality = SIZES[size]
    capture = cv2.VideoCapture(os.environ["BENCH_SOURCE"], cv2.CAP_FFMPEG)
    try:
        while True:
            there, picture = capture.read()
            if not there:
                return
            if shape is not None:
                picture = cv2.resize(picture, shape, interpolation=cv2.INTER_AREA)
            _, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
            request.websocket.send(json.dumps({"img_base64": base64.b64encode(jpeg).decode()}))
    finally:
        capture.release()


urlpatterns = [path("show/<size>/<form>", show), path("count", count)]
