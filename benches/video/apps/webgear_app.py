"""`webgear_app.py PORT`: vidgear's WebGear, as its documentation shows it, in the picture's own size."""

import os
import sys
import tempfile
from pathlib import Path

import cv2
import uvicorn
from vidgear.gears.asyncio import WebGear

with tempfile.TemporaryDirectory() as folder:
    # It downloads its pages where they are missing; nobody looks at them here.
    templates = Path(folder, ".vidgear", "webgear", "templates")
    templates.mkdir(parents=True)
    for name in ("index.html", "404.html", "500.html", "base.html"):
        (templates / name).write_text("<!doctype html>")
    web = WebGear(
        source=os.environ["BENCH_SOURCE"],
        backend=cv2.CAP_FFMPEG,
        custom_data_location=folder,
        frame_size_reduction=0,
        jpeg_compression_quality=80,
    )
    uvicorn.run(web(), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
    web.shutdown()
