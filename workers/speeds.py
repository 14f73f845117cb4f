"""How long this process takes for an item of each queue, measured while it works."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

#: Items that a report rests on at least.
LEAST_ITEMS = 16


@dataclass(slots=True)
class _Busy:
    """Shards of one queue in work, and since when the time before was not yet reported; seconds an item of late."""

    shards: int = 0
    since: float = 0.0
    seconds: float = 0.0
    items: int = 0
    pace_s: float | None = None


@dataclass(slots=True)
class Speedometer:
    """Divides the time in which a queue's shards were in work by the items that were done in it.

    Several shards of a queue run side by side: the time counts once, however many there are. A shard that ends before
    `LEAST_ITEMS` were done since the last report only adds to the next, so that a small one does not count as much as a
    large one.
    """

    _busy: dict[str, _Busy] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, queue: str, now: float) -> None:
        """A shard's model is open and its first item is due; `now` is of a clock that never goes back."""
        with self._lock:
            busy = self._busy.setdefault(queue, _Busy())
            if not busy.shards:
                busy.since = now
            busy.shards += 1

    def end(self, queue: str, items: int, now: float) -> float | None:
        """A shard ended after so many items; give the seconds an item to report, once enough were done."""
        with self._lock:
            busy = self._busy[queue]
            busy.shards -= 1
            busy.items += items
            busy.seconds += now - busy.since
            busy.since = now
            if busy.items < LEAST_ITEMS or busy.seconds <= 0:
                return None
            busy.pace_s, busy.items, busy.seconds = busy.seconds / busy.items, 0, 0.0
            return busy.pace_s

    def items_within(self, queue: str, seconds: float) -> int:
        """How many items of the queue this process does in so many seconds; 0: that is not known yet."""
        with self._lock:
            busy = self._busy.get(queue)
            return int(seconds / busy.pace_s) if busy is not None and busy.pace_s else 0
