"""One video on its way through a process: its frames are flights of their own, its own outcome follows the last."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np

from inference_engine.images import Image
from inference_engine.sniff import ImageLimits
from jobstore.schema import Outcome, OutcomeState
from videos.errors import VideoUnreadable
from videos.options import Clip, VideoOptions
from videos.reading import Frame, Video, VideoLimits
from videos.sampling import Timeline, choose
from workers.flights import Flight
from workers.media import MediaReader
from workers.outcomes import ended, failed, item_error


@dataclass(slots=True)
class VideoRun:
    """Counts a video's frames in and out.

    Frames that an earlier attempt wrote are not decoded again, so a video that was interrupted goes on where it was.

    Attributes:
        flight: the video's own; its stage is that of the frame which is decoded.
        is_put_back: some frame has to be tried again, so the video is given up and waits.
    """

    flight: Flight
    options: VideoOptions
    is_put_back: bool = False
    _counts_as_try: bool = False
    _has_ended: bool = False
    _error: Exception | None = None
    _open: int = 1  # frames on their way, and the stream itself
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stream: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _video: Video | None = None
    _left: Iterator[Frame] | None = None  # frames to be decoded; None: not opened yet
    _frames: dict[int, OutcomeState] = field(init=False)
    _facts: dict[str, Any] = field(default_factory=dict)
    _expected: int = 0
    _is_damaged: bool = False

    def __post_init__(self) -> None:
        self._frames = dict(self.flight.item.frames)

    def take(self, media: MediaReader, limits: ImageLimits) -> Flight | None:
        """Decode the next frame that is left to do, on one thread at a time; the first call opens the video.

        Returns:
            The frame's flight with its image; None: there are no more, or a frame has to be tried again.

        Raises:
            MediaError, VideoUnreadable: it cannot be read, or not any further.
        """
        if self.is_put_back:
            return None
        if self._left is None:
            self._left = self.flight.timed("fetch", self._open_stream, media, limits)
        frame = self.flight.timed("decode", next, self._left, None)
        if frame is None:
            self._has_ended = True
            return None
        return self._begin(frame)

    def close(self) -> None:
        """Decode no more; frames that are on their way still count."""
        self._is_damaged = self._video is not None and self._video.damages > 0
        with contextlib.suppress(OSError):  # of a file that was only read
            self._stream.close()

    def _open_stream(self, media: MediaReader, limits: ImageLimits) -> Iterator[Frame]:
        clip = self.flight.item.clip or self.options.clip
        file = self._stream.enter_context(media.open(self.flight.item.uri, self.flight.beat))
        video = self._stream.enter_context(Video(file, _video_limits(limits), self.flight.beat))
        timeline = video.timeline()
        chosen = choose(timeline, self.options, clip)
        self._video, self._expected = video, _expected(timeline, self.options, clip, len(chosen))
        self._facts = {"codec": video.codec, "start_s": clip.start_s, "end_s": clip.end_s}
        self._facts |= {"last_timestamp_s": float(timeline.seconds[-1])}
        return video.frames(timeline, chosen[~np.isin(chosen + 1, list(self._frames))])

    def _begin(self, frame: Frame) -> Flight:
        with self._lock:
            self._open += 1
        self._facts.setdefault("image_hw", list(frame.image.shape[:2]))
        return Flight(
            self.flight.item,
            self.flight.tries,
            timings_ms={"decode": self.flight.timings_ms["decode"]},
            frame=frame.index + 1,
            timestamp_s=frame.timestamp_s,
            image=frame.image,
            video=self,
        )

    def fail(self, error: Exception, *, may_repeat: bool) -> None:
        """The video cannot be read, or not any further."""
        if may_repeat:
            self.put_back(may_count=True)
        self._error, self._has_ended = error, True

    def put_back(self, *, may_count: bool) -> None:
        """A frame has to be tried again: the video waits, and goes on with what has no outcome then."""
        self.is_put_back = True
        self._counts_as_try |= may_count

    def add(self, outcome: Outcome) -> None:
        """A frame has its outcome."""
        with self._lock:
            self._frames[outcome.frame] = outcome.state

    def close_one(self) -> bool:
        """The stream or a frame is over; say whether it was the last."""
        with self._lock:
            self._open -= 1
            return self._open == 0

    def again(self) -> Flight:
        """The video, to be gone on with."""
        item = replace(self.flight.item, frames=self._frames)
        return Flight(item, self.flight.tries + self._counts_as_try)

    def outcome(self) -> Outcome | None:
        """What is said of the video as a whole; None: it was interrupted."""
        if self.is_put_back or not self._has_ended:
            return None
        if self._error is not None:
            return failed(self.flight, item_error(self._error))
        states = Counter(self._frames.values())
        if (error := self._shortcoming(states)) is not None:
            return failed(self.flight, item_error(error))
        read = states.total()
        counted = {"frames_read": read, "frames_expected": self._expected, "frames_failed": states[OutcomeState.FAILED]}
        record = {"task": "video", **counted, "is_partial": self._is_partial(read), **self._facts}
        return ended(self.flight, OutcomeState.OK, record=record)

    def _is_partial(self, read: int) -> bool:
        return read < self._expected or self._is_damaged

    def _shortcoming(self, states: Counter[OutcomeState]) -> VideoUnreadable | None:
        read = states.total()
        found = f"{read} of {self._expected} frames came out of it"
        if not read and self._expected:
            return VideoUnreadable("no_frames", f"{found}; is the file complete?")
        if read and states[OutcomeState.FAILED] == read:
            return VideoUnreadable("frames_failed", f"all {read} frames failed; results name each frame's error")
        if self.options.fail_partial and self._is_partial(read):
            return VideoUnreadable("partial", found)
        return None


def first_frame(media: MediaReader, uri: str, limits: ImageLimits) -> list[Image]:
    """A video's first frame, to measure candidates with; none, if none comes out.

    Raises:
        MediaError, VideoUnreadable: it cannot be read.
    """
    with media.open(uri, lambda: None) as file, Video(file, _video_limits(limits)) as video:
        return [frame.image for frame in islice(video.frames(video.timeline(), [0]), 1)]


def _video_limits(limits: ImageLimits) -> VideoLimits:
    return VideoLimits(limits.max_pixels, limits.max_side)


def _expected(timeline: Timeline, options: VideoOptions, clip: Clip, chosen: int) -> int:
    """How many frames should come: the `chosen` ones, and of a file cut short its share of those that it lacks.

    What is lacking lies at the end, so parts before it expect no more than they have. The number is exact where every
    frame is taken, else an estimate.
    """
    last_s = float(timeline.seconds[-1])
    if not timeline.is_cut_short or (clip.end_s is not None and clip.end_s <= last_s):
        return chosen
    lacking = (timeline.declared - len(timeline.pts)) * len(choose(timeline, options, Clip())) / len(timeline.pts)
    return chosen + max(1, round(lacking if clip.start_s <= last_s else 0))
