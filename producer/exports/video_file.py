"""A video written frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    #: Takes seconds after the beginning, and `(H, W, 3)` uint8 RGB.
    AddFrame = Callable[[float, NDArray[np.uint8]], None]

#: Ticks a second of MPEG's own clock; every usual rate is a whole number of them.
_CLOCK = 90_000
#: Seen as H.264 by every browser; where the build of FFmpeg has no encoder for it, MPEG-4 part 2.
_ENCODERS = ("libx264", "mpeg4")
#: One thread: the same frames give the same bytes on every machine.
_OPTIONS = {"libx264": {"crf": "20", "preset": "veryfast", "x264-params": "threads=1"}, "mpeg4": {"qscale": "4"}}


@contextmanager
def open_video(path: Path, wh: tuple[int, int]) -> Iterator[AddFrame]:
    """Give a function that adds a frame; each is shown at its own time, so rates may change.

    Sides of an odd number of pixels lose one, as the format has colours for pairs of pixels only.
    """
    import av

    name = next(name for name in _ENCODERS if name in av.codecs_available)
    # Bit-exact: FFmpeg's version, which would differ from machine to machine, is not written.
    with av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact", "movflags": "+faststart"}) as container:
        stream: Any = container.add_stream(name, rate=30, options=_OPTIONS[name])
        stream.width, stream.height = wh[0] - wh[0] % 2, wh[1] - wh[1] % 2
        stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, _CLOCK)
        stream.codec_context.time_base = stream.time_base
        stream.codec_context.thread_count = 1
        last = -1

        def add(seconds: float, image: NDArray[np.uint8]) -> None:
            nonlocal last
            even = np.ascontiguousarray(image[: stream.height, : stream.width])
            frame = av.VideoFrame.from_ndarray(even, format="rgb24")
            last = max(last + 1, round(seconds * _CLOCK))
            frame.pts, frame.time_base = last, stream.time_base
            container.mux(stream.encode(frame))

        yield add
        container.mux(stream.encode())
