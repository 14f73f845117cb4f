"""A video's timeline and the pixels of some of its frames, with PyAV; the guard of `containers` comes first.

FFmpeg reads through a file object and gets no name and no protocol, so nothing in a container can make it open another
file. One thread decodes: workers run several videos at once. Nothing is held but the timeline, 9 bytes a frame, and the
frames inside the decoder.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import IO, TYPE_CHECKING, Any, Self

import numpy as np

from videos.containers import HEAD_BYTES, sniff
from videos.errors import VideoUnreadable
from videos.sampling import Timeline

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BUFFER_BYTES = 1 << 18
#: FFmpeg opens nothing by itself: no protocol has this name.
_NO_PROTOCOL = "none"


@dataclass(frozen=True, slots=True)
class VideoLimits:
    """How much one video may ask for.

    Attributes:
        max_pixels: of a frame, whatever the container or a later part of the stream declares.
        max_side: of a frame.
        max_frames: of a video: a day and a half at 60 a second.
    """

    max_pixels: int = 50_000_000
    max_side: int = 32_768
    max_frames: int = 8_000_000


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame.

    Attributes:
        index: its place among the video's frames as they are shown, from 0.
        timestamp_s: seconds after the first frame.
        image: `(H, W, 3)` uint8 RGB, upright.
    """

    index: int
    timestamp_s: float
    image: NDArray[np.uint8]


class Video:
    """An open video. `timeline` reads every packet and decodes none; `frames` decodes."""

    def __init__(
        self, file: IO[bytes], limits: VideoLimits = VideoLimits(), beat: Callable[[], None] = lambda: None
    ) -> None:
        """Sniff and open; the caller owns `file`.

        Args:
            beat: called at each packet and each decoded frame, so that a watchdog sees progress.

        Raises:
            VideoUnreadable: this is no video, or not one that can be decoded here.
        """
        import av

        self._av, self._limits, self._beat = av, limits, beat
        name = sniff(file.read(HEAD_BYTES))
        file.seek(0)
        options = {"max_pixels": str(limits.max_pixels), "threads": "1"}
        try:
            self._container: Any = av.open(
                file,
                format=name,
                options=options,
                container_options={"protocol_whitelist": _NO_PROTOCOL},
                buffer_size=_BUFFER_BYTES,
            )
        except (av.FFmpegError, ValueError) as error:
            raise VideoUnreadable("no_frames", f"the {name} container cannot be read: {_words(error)}") from error
        try:
            self._stream = self._pick_stream()
        except BaseException:
            self._container.close()
            raise
        self.damages = 0  # packets that the decoder refused, and frames of which it made up a part

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    @property
    def codec(self) -> str:
        """FFmpeg's name of the codec."""
        return str(self._stream.codec_context.name)

    @property
    def duration_s(self) -> float | None:
        """As the container says; None: it does not."""
        if self._stream.duration is not None and self._stream.time_base:
            return float(self._stream.duration * self._stream.time_base)
        return None if self._container.duration is None else self._container.duration / self._av.time_base

    def timeline(self) -> Timeline:
        """Every frame's timestamp, from the packets.

        Raises:
            VideoUnreadable: `no_frames` or `video_too_long`.
        """
        keys: dict[int, bool] = {}
        is_damaged = False
        self._container.seek(0)
        try:
            for packet in self._container.demux(self._stream):
                self._beat()
                pts = _timestamp(packet)
                if pts is not None and packet.size and not packet.is_discard:
                    keys[pts] = packet.is_keyframe or keys.get(pts, False)
                if len(keys) > self._limits.max_frames:
                    raise VideoUnreadable("video_too_long", f"more than {self._limits.max_frames} frames")
        except self._av.FFmpegError:
            is_damaged = True
        if not keys:
            raise VideoUnreadable("no_frames", f"the {self.codec} track has no packet with a timestamp")
        found = sorted(keys.items())
        stamps = np.fromiter((pts for pts, _ in found), np.int64, len(found))
        is_key = np.fromiter((key for _, key in found), np.bool_, len(found))
        return Timeline(stamps, is_key, Fraction(self._stream.time_base), self._stream.frames, is_damaged)

    def frames(self, timeline: Timeline, chosen: Sequence[int] | NDArray[np.int64]) -> Iterator[Frame]:
        """The frames of these indices, ascending; one that does not come out of the decoder is left out.

        Raises:
            VideoUnreadable: `video_too_large`.
        """
        for run in _runs(timeline, np.asarray(chosen, np.int64)):
            yield from self._decode_run(timeline, run)

    def _pick_stream(self) -> Any:
        stream = next((each for each in self._container.streams.video if not _is_cover(each)), None)
        if stream is None:
            raise VideoUnreadable("no_frames", "the container has no video track")
        if stream.codec_context is None:
            raise VideoUnreadable("unsupported_codec", "no decoder is there for the video track; convert it to H.264")
        self._check_size(stream.codec_context.width, stream.codec_context.height)
        return stream

    def _check_size(self, width: int, height: int) -> None:
        limits = self._limits
        if width * height > limits.max_pixels or max(width, height) > limits.max_side:
            raise VideoUnreadable(
                "video_too_large",
                f"frames of {width} x {height} pixels; at most {limits.max_pixels} pixels and {limits.max_side} a side",
            )

    def _decode_run(self, timeline: Timeline, run: NDArray[np.int64]) -> Iterator[Frame]:
        wanted = dict(zip(timeline.pts[run].tolist(), run.tolist(), strict=True))
        last = int(timeline.pts[run[-1]])
        only_keys = bool(timeline.is_key[run].all())
        for raw in self._decoded(timeline, int(run[0]), only_keys=only_keys):
            pts = _timestamp(raw)
            if pts is None:
                continue
            if (index := wanted.pop(pts, None)) is not None:
                seconds = float((pts - int(timeline.pts[0])) * timeline.time_base)
                yield Frame(index, seconds, self._pixels(raw))
            if pts >= last:
                return

    def _decoded(self, timeline: Timeline, first: int, *, only_keys: bool) -> Iterator[Any]:
        """Frames from the last keyframe at or before `first` on, in the order in which they are shown."""
        self._seek(timeline, first)
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except self._av.FFmpegError:
                packet = None
            if packet is None:
                return
            if only_keys and packet.size and not packet.is_keyframe:
                continue
            try:
                raws = packet.decode()
            except self._av.FFmpegError:
                self.damages += 1
                continue
            for raw in raws:
                self._beat()
                self.damages += raw.is_corrupt
                yield raw

    def _seek(self, timeline: Timeline, first: int) -> None:
        """Go to a packet from which `first` can be decoded.

        Demuxers look for the keyframe by its decoding time, which may lie before a frame that is shown earlier, so what
        they found is looked at, and the keyframe before it is taken if need be.
        """
        keys = np.flatnonzero(timeline.is_key[: first + 1])
        wanted = int(timeline.pts[first])
        for key in keys[::-1][:3].tolist():
            with contextlib.suppress(self._av.FFmpegError, StopIteration):
                target = int(timeline.pts[key])
                self._container.seek(target, stream=self._stream)
                found = next(self._container.demux(self._stream))
                if (pts := _timestamp(found)) is not None and pts <= wanted and found.is_keyframe:
                    self._container.seek(target, stream=self._stream)
                    return
        self._container.seek(0)

    def _pixels(self, raw: Any) -> NDArray[np.uint8]:
        self._check_size(raw.width, raw.height)
        image: NDArray[np.uint8] = raw.to_ndarray(format="rgb24")
        quarters = round(raw.rotation / 90) % 4  # counter-clockwise, as `numpy.rot90` turns
        return np.ascontiguousarray(np.rot90(image, quarters)) if quarters else image


def _runs(timeline: Timeline, chosen: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Cut where a whole group of pictures lies between two frames: seeking over it is cheaper than decoding it."""
    if not len(chosen):
        return
    group = np.cumsum(timeline.is_key)[chosen]
    yield from np.split(chosen, np.flatnonzero(np.diff(group) > 1) + 1)


def _timestamp(timed: Any) -> int | None:
    """Of a packet or a frame; old AVI files have decoding times only."""
    stamp: int | None = timed.pts if timed.pts is not None else timed.dts
    return stamp


def _is_cover(stream: Any) -> bool:
    """Whether the track is a still picture beside the sound."""
    return bool(stream.disposition & type(stream.disposition).attached_pic)


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
