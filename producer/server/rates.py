"""How often a token may ask: a bucket that fills steadily, holds so many requests at most, and loses one a request."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

#: Askers that are remembered; of more, those who were silent longest begin with a full bucket again.
_REMEMBERED = 10_000


class Rates:
    """Buckets of all who ask one server process; threads may share it."""

    def __init__(self, per_s: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s, self._burst, self._clock = per_s, burst, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # asker -> what is left, and when
        self._lock = threading.Lock()

    def wait_s(self, asker: str) -> int | None:
        """Take one request out of the asker's bucket. None: it was there; else whole seconds until one is."""
        now = self._clock()
        with self._lock:
            left, then = self._buckets.pop(asker, (float(self._burst), now))
            left = min(self._burst, left + (now - then) * self._per_s)
            is_there = left >= 1
            self._buckets[asker] = (left - is_there, now)
            while len(self._buckets) > _REMEMBERED:
                self._buckets.popitem(last=False)
        return None if is_there else math.ceil((1 - left) / self._per_s)
