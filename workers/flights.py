"""The items that are on their way through a process, so that whoever watches can say which of them hangs."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from inference_engine.images import Image
    from jobstore.schema import Item
    from workers.first_use import FirstUse
    from workers.shard_run import ShardRun
    from workers.video_run import VideoRun

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Flight:
    """One item, or one frame of a video, between its shard and its outcome.

    Attributes:
        tries: how often it was begun, this time included.
        stage: what a thread does for this item alone at this moment; empty while it waits or is in the model's forward.
        since: when the stage began, by `time.monotonic`.
        timings_ms: milliseconds of the stages that are over.
        frame: of a video's frame, counted from 1; 0: the item itself.
        timestamp_s: of a video's frame.
        image: of a video's frame, until it was made into tensors.
        data: a picture's bytes, from their reading until they are pixels.
        content: their sha256, in hexadecimal digits.
        key: by which results are looked up; None: this one is not.
        is_claimed: whether others may wait for its result.
        video: the video whose frame this is, or which this is, once it was begun.
    """

    item: Item
    tries: int = 1
    stage: str = ""
    since: float = 0.0
    timings_ms: dict[str, float] = field(default_factory=dict)
    frame: int = 0
    timestamp_s: float | None = None
    image: Image | None = None
    data: bytes | None = None
    content: str | None = None
    key: str | None = None
    is_claimed: bool = False
    video: VideoRun | None = None

    def timed(self, stage: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call, and note how long it took."""
        started = self.since = time.monotonic()
        self.stage = stage
        try:
            return call(*args, **kwargs)
        finally:
            self.stage = ""
            self.timings_ms[stage] = (time.monotonic() - started) * 1000

    def beat(self) -> None:
        """The stage goes on, whatever it has taken so far: the watchdog counts from now."""
        self.since = time.monotonic()

    def again(self) -> Flight:
        """The same item, to be tried once more."""
        return Flight(self.item, self.tries + 1)


@dataclass(slots=True)
class RunBook:
    """The shards that this process works on, or opens a model for, and since when it does neither."""

    _runs: set[ShardRun] = field(default_factory=set)
    _opening: set[FirstUse] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _idle_since: float = field(default_factory=time.monotonic)

    def add(self, *runs: ShardRun) -> None:
        """Shards begin."""
        with self._lock:
            self._runs.update(runs)

    def remove(self, *runs: ShardRun) -> None:
        """They ended."""
        with self._lock:
            self._runs.difference_update(runs)
            self._idle_since = time.monotonic()

    def active(self) -> tuple[ShardRun, ...]:
        """Those that are under way."""
        with self._lock:
            return tuple(self._runs)

    @contextlib.contextmanager
    def opening(self, use: FirstUse) -> Iterator[None]:
        """For the length of a block, a shard waits for its model."""
        with self._lock:
            self._opening.add(use)
        try:
            yield
        finally:
            with self._lock:
                self._opening.discard(use)
                self._idle_since = time.monotonic()

    def unopened(self) -> tuple[FirstUse, ...]:
        """Those that wait for their model."""
        with self._lock:
            return tuple(self._opening)

    def count(self) -> int:
        """How many shards are in work."""
        with self._lock:
            return len(self._runs) + len(self._opening)

    def idle_s(self) -> float:
        """Seconds without any shard; 0 while there is one."""
        with self._lock:
            return 0.0 if self._runs or self._opening else time.monotonic() - self._idle_since
