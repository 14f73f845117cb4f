"""Which frames to take. Pure: a function of all timestamps of a video, so that its parts agree at their seams."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from videos.options import Clip, VideoOptions

_INT64_BITS = 62


@dataclass(frozen=True, slots=True)
class Timeline:
    """Every frame of a video, as its packets announce them.

    Attributes:
        pts: `(n,)` int64, strictly ascending, in units of `time_base`.
        is_key: `(n,)` bool.
        time_base: seconds a unit.
        declared: frames that the container promises; 0: it does not say.
        is_damaged: reading the packets ended with an error.
    """

    pts: NDArray[np.int64]
    is_key: NDArray[np.bool_]
    time_base: Fraction
    declared: int = 0
    is_damaged: bool = False

    @property
    def seconds(self) -> NDArray[np.float64]:
        """`(n,)` timestamps after the first frame."""
        seconds: NDArray[np.float64] = np.multiply(self.pts - self.pts[:1], float(self.time_base), dtype=np.float64)
        return seconds

    @property
    def fps(self) -> float:
        """Frames a second, on average."""
        return _rate(self.seconds)

    @property
    def is_cut_short(self) -> bool:
        """Whether packets are missing that were promised."""
        return self.is_damaged or len(self.pts) < self.declared


def choose(timeline: Timeline, options: VideoOptions, clip: Clip) -> NDArray[np.int64]:
    """Indices of the frames to take, ascending.

    What is taken of the whole video is decided first and cut by `clip` then: clips that touch take together what one
    clip over both would, no frame twice and none left out.
    """
    if options.keyframes:
        taken = timeline.is_key
    elif options.every is not None:
        taken = np.arange(len(timeline.pts)) % options.every == 0
    elif options.fps is not None:
        taken = _nearest_to_ticks(timeline, Fraction(str(options.fps)))
    else:
        taken = np.ones(len(timeline.pts), bool)
    seconds = timeline.seconds
    is_inside = seconds >= clip.start_s
    if clip.end_s is not None:
        is_inside &= seconds < clip.end_s
    return np.flatnonzero(taken & is_inside)


def labelled_rate(timeline: Timeline, options: VideoOptions) -> float:
    """Frames a second that are taken of the whole video, on average."""
    return _rate(timeline.seconds[choose(timeline, options, options.clip)])


def _rate(seconds: NDArray[np.float64]) -> float:
    """Times a second; 1 where there are not two times."""
    lasted = float(seconds[-1] - seconds[0]) if len(seconds) > 1 else 0.0
    return (len(seconds) - 1) / lasted if lasted > 0 else 1.0


def _nearest_to_ticks(timeline: Timeline, fps: Fraction) -> NDArray[np.bool_]:
    """Whether a frame is the nearest one to some `k / fps`, the earlier of two that are equally near.

    A frame is nearest to all ticks after the middle between it and the one before, up to the middle between it and the
    next. Whole numbers only: rounding would depend on where a video is cut.
    """
    if not len(timeline.pts):
        return np.zeros(0, bool)
    twice: NDArray[Any] = 2 * (timeline.pts - timeline.pts[0])
    last_gap = twice[-1] - twice[-2] if len(twice) > 1 else 0
    until = np.append((twice[:-1] + twice[1:]) // 2, twice[-1] + last_gap // 2)
    rate = fps * timeline.time_base / 2
    if int(until[-1]).bit_length() + rate.numerator.bit_length() > _INT64_BITS:
        until = until.astype(object)
    ticks = (until * rate.numerator) // rate.denominator
    is_nearest: NDArray[np.bool_] = np.diff(ticks, prepend=-1).astype(bool)
    return is_nearest
