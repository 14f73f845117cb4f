"""Clips: so many labelled frames in a row, judged together by models that watch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from videos.reading import Frame
from videos.sampling import choose

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from videos.options import Clip, VideoOptions
    from videos.sampling import Timeline


@dataclass(frozen=True, slots=True)
class FrameClip(Frame):
    """A clip, with the index and the time of the first frame that should be in it, whether or not it came out.

    Attributes:
        image: `(frames, H, W, 3)` uint8 RGB, upright.
        end_index: of the frame after its last.
        end_s: when the next clip begins, or the video ends.
    """

    end_index: int
    end_s: float


@dataclass(frozen=True, slots=True)
class Group:
    """The frames of one clip: indices, ascending; when it begins; the index and the time at which it ends."""

    frames: NDArray[np.int64]
    start_s: float
    end_index: int
    end_s: float


def groups(timeline: Timeline, options: VideoOptions, part: Clip, size: int) -> list[Group]:
    """The clips that belong to a part of a video, each `size` frames, the video's last perhaps fewer.

    Clips are counted from the beginning of what is wanted of the video and belong to the part that their first frame is
    in, so that parts that touch have together the clips of the whole.
    """
    wanted = choose(timeline, options, options.clip)
    is_mine = np.isin(wanted[::size], choose(timeline, options, part))
    seconds = timeline.seconds
    found = []
    for start in (np.flatnonzero(is_mine) * size).tolist():
        following, begins_s = start + size, float(seconds[wanted[start]])
        if following < len(wanted):
            end = int(wanted[following])
            found.append(Group(wanted[start:following], begins_s, end, float(seconds[end])))
        else:
            last = int(wanted[-1])
            found.append(Group(wanted[start:], begins_s, last + 1, _end_s(seconds, last)))
    return found


def clips(frames: Iterator[Frame], wanted: Sequence[Group], size: int) -> Iterator[FrameClip]:
    """Join frames, which come in order, to clips; what is missing of a clip is made up by the frame before it."""
    frame = next(frames, None)
    for group in wanted:
        found: list[Frame] = []
        while frame is not None and frame.index <= group.frames[-1]:
            found.append(frame)
            frame = next(frames, None)
        if found:
            found += [found[-1]] * (size - len(found))
            images = np.stack([each.image for each in found])
            yield FrameClip(int(group.frames[0]), group.start_s, images, group.end_index, group.end_s)


def _end_s(seconds: NDArray[np.float64], last: int) -> float:
    """When the frame `last` gives way to the next; the video's last one lasts as long as the one before it."""
    if last + 1 < len(seconds):
        return float(seconds[last + 1])
    return float(2 * seconds[last] - seconds[last - 1]) if last else float(seconds[last])
