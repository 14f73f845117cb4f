"""What is asked of a job's videos, and the part of a video that one item stands for. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Clip:
    """A part of a video: every frame whose timestamp is `start_s` or later and before `end_s`; None: to the end."""

    start_s: float = 0.0
    end_s: float | None = None


@dataclass(frozen=True, slots=True)
class VideoOptions:
    """Which frames of a video are labelled; without `fps`, `every` and `keyframes` each one.

    Attributes:
        fps: frames a second at most: of each tick of this clock the nearest frame, none twice.
        every: one frame of so many, from the first on.
        keyframes: only those that the encoder stored whole.
        start_s: seconds after the first frame.
        end_s: likewise; frames at this moment and later are left out. None: to the end.
        segment_s: a video is cut into items of so many seconds, which several workers share; None: one item a video.
        fail_partial: a video of which frames are missing fails; otherwise its outcome says so.
        track: boxes of the same object have the same `track_id`; such a video is not cut.

    Raises:
        ValueError: a value that cannot be.
    """

    fps: float | None = None
    every: int | None = None
    keyframes: bool = False
    start_s: float = 0.0
    end_s: float | None = None
    segment_s: float | None = None
    fail_partial: bool = False
    track: bool = False

    def __post_init__(self) -> None:
        chosen = [self.fps is not None, self.every is not None, self.keyframes]
        problems = [
            (sum(chosen) > 1, "fps, every and keyframes exclude each other: give one of them"),
            (not _is_positive(self.fps, 1e-6), f"fps is {self.fps}; expected a number above 0"),
            (self.every is not None and self.every < 1, f"every is {self.every}; expected 1 or more"),
            (not 0 <= self.start_s < math.inf, f"start_s is {self.start_s}; expected seconds, 0 or more"),
            (
                self.end_s is not None and not self.start_s < self.end_s < math.inf,
                f"end_s is {self.end_s}; expected seconds after start_s, {self.start_s}",
            ),
            (
                self.track and self.segment_s is not None,
                "track and segment_s exclude each other: a track begins in one part and ends in another",
            ),
            (not _is_positive(self.segment_s, 0.1), f"segment_s is {self.segment_s}; expected 0.1 seconds or more"),
        ]
        if found := [words for is_wrong, words in problems if is_wrong]:
            raise ValueError("; ".join(found))

    @property
    def clip(self) -> Clip:
        """All that is wanted of a video."""
        return Clip(self.start_s, self.end_s)

    def record(self) -> dict[str, Any]:
        """The options as JSON's types; `VideoOptions(**record)` undoes it."""
        return asdict(self)


def cut(options: VideoOptions, duration_s: float | None) -> Iterator[Clip]:
    """The items of one video, in order; each begins at the very number with which the one before it ends.

    The last has no end of its own but the options', since containers are often wrong about their length.

    Args:
        duration_s: as the container says; None: unknown, so the video is not cut.
    """
    if options.segment_s is None or duration_s is None:
        yield options.clip
        return
    stop = duration_s if options.end_s is None else min(duration_s, options.end_s)
    parts = max(1, math.ceil((stop - options.start_s) / options.segment_s))
    edges = [options.start_s + number * options.segment_s for number in range(parts)]
    yield from (Clip(start, end) for start, end in zip(edges, [*edges[1:], options.end_s], strict=True))


def _is_positive(value: float | None, least: float) -> bool:
    return value is None or least <= value < math.inf
