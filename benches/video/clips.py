"""The clips that are sent: made once by ffmpeg, with a number drawn into each picture."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from peers.environments import ROOT

FPS: Final = 30
TARGET: Final = ROOT / "target" / "video"
BITS: Final = 16
_SQUARES: Final = 40
_MAKE_SECONDS: Final = 900


class NotMade(Exception):
    """There is no clip; the text says why."""


@dataclass(frozen=True)
class Size:
    """Of a picture.

    Attributes:
        width: pixels; a multiple of 40.
        height: pixels.
        megabits: a second of H.264.
    """

    width: int
    height: int
    megabits: float


SIZES: Final = {"720p": Size(1280, 720, 4), "1080p": Size(1920, 1080, 8)}


def make(size: Size, seconds: float, folder: Path = TARGET) -> Path:
    """A clip of H.264 in FLV: 30 pictures a second, a key frame each second, no B-frames, as cameras send it.

    Along the top edge stand squares a fortieth of the width wide: the number of the picture in 16 bits
    from the lowest, white for 1, and then the same bits inverted.

    Raises:
        NotMade: with what ffmpeg said.
    """
    name = f"{size.width}x{size.height}-{size.megabits:g}-{seconds:g}.flv"
    target = folder / name
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"unfinished-{name}"
    try:
        done = subprocess.run(  # noqa: S603 - made of constants
            [*_command(size, seconds), str(unfinished)],
            capture_output=True,
            text=True,
            timeout=_MAKE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotMade(f"ffmpeg: {error}") from error
    if done.returncode != 0:
        raise NotMade(f"ffmpeg: {done.stderr.strip()[-300:]}")
    unfinished.rename(target)
    return target


def _command(size: Size, seconds: float) -> list[str]:
    side = size.width // _SQUARES
    # X is the number of the bit, N that of the picture.
    bit = f"mod(floor(N/pow(2,mod(X,{BITS}))),2)"
    white = f"if(lt(X,{BITS}),{bit},1-{bit})"
    graph = (
        # A little noise, as of a camera's sensor, or a still part of the picture would cost nothing.
        f"testsrc2=size={size.width}x{size.height}:rate={FPS},noise=alls=6:allf=t[picture];"
        f"color=black:size={2 * BITS}x1:rate={FPS},format=yuv444p,geq=lum='16+219*{white}':cb=128:cr=128,"
        f"scale={2 * BITS * side}:{side}:flags=neighbor[squares];"
        "[picture][squares]overlay=0:0:shortest=1,format=yuv420p"
    )
    encoder = ["-c:v", "libx264", "-preset", "veryfast", "-bf", "0", "-g", str(FPS), "-sc_threshold", "0"]
    rate = ["-b:v", f"{size.megabits}M", "-maxrate", f"{size.megabits}M", "-bufsize", f"{size.megabits / 2}M"]
    return [
        *("ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-y", "-filter_complex", graph),
        *("-t", str(seconds), *encoder, *rate, "-flvflags", "no_duration_filesize", "-f", "flv"),
    ]
