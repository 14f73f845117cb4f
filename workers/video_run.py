"""One video on its way through a process: its frames are flights of their own, its own outcome follows the last."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from inference_engine.errors import ParameterInvalid
from inference_engine.images import Image
from inference_engine.sniff import ImageLimits
from jobstore.schema import Outcome, OutcomeState
from jobstore.views import ResultRow
from videos.clips import FrameClip, clips, groups
from videos.errors import VideoUnreadable
from videos.following import Follower
from videos.options import Clip, VideoOptions
from videos.reading import Frame, Video, VideoLimits
from videos.sampling import Timeline, choose, labelled_rate
from videos.tracking import MISSING, TRACKED_TASKS, Tracks
from workers.actions import Actions
from workers.flights import Flight
from workers.frame_order import FrameOrder
from workers.media import MediaReader
from workers.outcomes import ended, failed, item_error

if TYPE_CHECKING:
    from workers.opening import LoadedModel


@dataclass(slots=True)
class VideoRun:
    """Counts a video's frames in and out.

    Frames that an earlier attempt wrote are not decoded again, so a video that was interrupted goes on where it was.

    Attributes:
        flight: the video's own; its stage is that of the frame which is decoded.
        loaded: the model; where it takes clips, whatever is said of frames here is true of clips.
        written: gives what earlier attempts wrote of the frames, in order.
        order: set where something follows the frames, when the video is opened first.
        is_put_back: some frame has to be tried again, so the video is given up and waits.
    """

    flight: Flight
    options: VideoOptions
    loaded: LoadedModel
    written: Callable[[], Iterable[ResultRow]]
    order: FrameOrder | None = None
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
    _spans: dict[int, dict[str, Any]] = field(default_factory=dict)  # by the number of a clip, when it ends
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
        self._video = video
        self._facts = {"codec": video.codec, "start_s": clip.start_s, "end_s": clip.end_s}
        self._facts |= {"last_timestamp_s": float(timeline.seconds[-1])}
        if self.order is None and (follower := self._follower(timeline)) is not None:
            self.order = FrameOrder(follower)
            self.order.replay(self.written())
        return (
            self._clips_left(video, timeline, clip) if self.loaded.clip_frames else self._left_of(video, timeline, clip)
        )

    def _left_of(self, video: Video, timeline: Timeline, clip: Clip) -> Iterator[Frame]:
        chosen = choose(timeline, self.options, clip)
        self._expected = len(chosen) + _lacking(timeline, self.options, clip, 1)
        return video.frames(timeline, chosen[~np.isin(chosen + 1, list(self._frames))])

    def _clips_left(self, video: Video, timeline: Timeline, clip: Clip) -> Iterator[Frame]:
        size = self.loaded.clip_frames
        wanted = groups(timeline, self.options, clip, size)
        self._expected = len(wanted) + _lacking(timeline, self.options, clip, size)
        left = [group for group in wanted if int(group.frames[0]) + 1 not in self._frames]
        chosen = np.concatenate([group.frames for group in left]) if left else np.zeros(0, np.int64)
        return clips(video.frames(timeline, chosen), left, size)

    def _follower(self, timeline: Timeline) -> Follower | None:
        if self.loaded.clip_frames:
            return Actions(self.loaded.model.class_names, timeline.fps)
        return Tracks(labelled_rate(timeline, self.options)) if self.options.track else None

    def _begin(self, frame: Frame) -> Flight:
        number = frame.index + 1
        with self._lock:
            self._open += 1
            if self.order is not None:
                self.order.begin(number)
            if isinstance(frame, FrameClip):
                end = {"end_frame": frame.end_index, "end_s": frame.end_s}
                self._spans[number] = {"start_frame": frame.index, **end}
        self._facts.setdefault("image_hw", list(frame.image.shape[-3:-1]))
        return Flight(
            self.flight.item,
            self.flight.tries,
            timings_ms={"decode": self.flight.timings_ms["decode"]},
            frame=number,
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

    def add(self, outcome: Outcome, write: Callable[[list[Outcome]], None]) -> None:
        """A frame has its outcome; `write` gets what can be written by it.

        Where the order matters, that may be nothing yet, or also what waited for this frame.
        """
        with self._lock:
            if outcome.record is not None and (span := self._spans.pop(outcome.frame, None)) is not None:
                outcome = replace(outcome, record={**outcome.record, **span})
            passed = [outcome] if self.order is None else self.order.pass_on(outcome)
            self._frames |= {each.frame: each.state for each in passed}
            write(passed)

    def close_one(self) -> bool:
        """The stream or a frame is over; say whether it was the last."""
        with self._lock:
            self._open -= 1
            return self._open == 0

    def again(self) -> Flight:
        """The video, to be gone on with."""
        item = replace(self.flight.item, frames=self._frames)
        later = Flight(item, self.flight.tries + self._counts_as_try)
        order = None if self.order is None else FrameOrder(self.order.follower)
        later.video = VideoRun(later, self.options, self.loaded, self.written, order)
        return later

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
        counted = {"read": read, "expected": self._expected, "failed": states[OutcomeState.FAILED]}
        record = {"task": "video", **{f"{self._unit}_{name}": number for name, number in counted.items()}}
        record |= {"is_partial": self._is_partial(read), **self._facts}
        record |= {} if self.order is None else self.order.follower.facts()
        return ended(self.flight, OutcomeState.OK, record=record)

    @property
    def _unit(self) -> str:
        return "clips" if self.loaded.clip_frames else "frames"

    def _is_partial(self, read: int) -> bool:
        return read < self._expected or self._is_damaged

    def _shortcoming(self, states: Counter[OutcomeState]) -> VideoUnreadable | None:
        read = states.total()
        found = f"{read} of {self._expected} {self._unit} came out of it"
        if not read and self._expected:
            return VideoUnreadable("no_frames", f"{found}; is the file complete?")
        if read and states[OutcomeState.FAILED] == read:
            return VideoUnreadable("frames_failed", f"all {read} {self._unit} failed; results name each one's error")
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


def _lacking(timeline: Timeline, options: VideoOptions, clip: Clip, size: int) -> int:
    """How many frames, or clips of `size` frames, a file that was cut short lacks in this part; 0 for a whole one.

    What is lacking lies at the end, so parts before it lack nothing. The number is exact where every frame is taken,
    else an estimate.
    """
    last_s = float(timeline.seconds[-1])
    if not timeline.is_cut_short or (clip.end_s is not None and clip.end_s <= last_s):
        return 0
    lacking = (timeline.declared - len(timeline.pts)) * len(choose(timeline, options, Clip())) / len(timeline.pts)
    return max(1, round(lacking / size if clip.start_s <= last_s else 0))


def check_wanted(options: VideoOptions, loaded: LoadedModel) -> None:
    """Refuse a job whose videos are to be tracked where this model or this machine cannot.

    Raises:
        ParameterInvalid: saying why.
    """
    if not options.track:
        return
    if loaded.model.package.task not in TRACKED_TASKS:
        raise ParameterInvalid(
            f"track is for boxes, of {', '.join(sorted(TRACKED_TASKS))}; "
            f"{loaded.model.package.model_id} does {loaded.model.package.task}"
        )
    if find_spec("trackers") is None:
        raise ParameterInvalid(MISSING)
