"""Predictions that need not be made: the same bytes were run before, or are run beside this item at this moment."""

from __future__ import annotations

import logging
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from jobstore.result_cache import KnownResult
from jobstore.store import JobStore
from workers.metrics import Meter

logger = logging.getLogger(__name__)

#: Results that a process remembers until its outcomes are surely in the store, which takes about a second.
RECENT = 512

#: Told the result that somebody else has made, or None where he failed.
Told = Callable[[KnownResult | None], None]


@dataclass(slots=True)
class ResultBook:
    """Knows what was made before, and what is being made in this process."""

    store: JobStore
    meter: Meter = field(default_factory=Meter)
    _recent: OrderedDict[str, KnownResult] = field(default_factory=OrderedDict)
    _in_work: dict[str, list[Told]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def find(self, keys: Collection[str]) -> Mapping[str, KnownResult]:
        """Give what is known of these keys; whatever is wrong with the store, what this process made at least."""
        with self._lock:
            found = {key: self._recent[key] for key in keys if key in self._recent}
        left = set(keys) - found.keys()
        try:
            found |= self.store.known.lookup(left) if left else {}
        except Exception as error:  # noqa: BLE001 (an item that could not be looked up is run; none may be lost by it)
            logger.warning("earlier results are not known now: %s", error, extra={"event": "lookup_failed"})
        hits = sum(key in found for key in keys)
        self.meter.looked_up("hit", hits)
        self.meter.looked_up("miss", len(keys) - hits)
        return found

    def claim(self, key: str, told: Told) -> bool:
        """Say whether the caller is to make this result, and then to `settle` it.

        Else `told` is called: now, or on the thread of who makes it, when it is made.
        """
        with self._lock:
            known = self._recent.get(key)
            if known is None and key not in self._in_work:
                self._in_work[key] = []
                return True
            if known is None:
                self._in_work[key].append(told)
        self.meter.looked_up("shared", 1)
        if known is not None:
            told(known)
        return False

    def settle(self, key: str, known: KnownResult | None) -> None:
        """The result is made; None: it was not, and whoever waits for it tries himself."""
        with self._lock:
            waiting = self._in_work.pop(key, [])
            if known is not None:
                self._recent[key] = known
                while len(self._recent) > RECENT:
                    self._recent.popitem(last=False)
        for told in waiting:
            told(known)


def is_finite(value: Any) -> bool:
    """Say whether a record has numbers only: JSON writes NaN and infinity as null, and neither is to be taken over."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, Mapping):
        return all(map(is_finite, value.values()))
    return all(map(is_finite, value)) if isinstance(value, list | tuple) else True
