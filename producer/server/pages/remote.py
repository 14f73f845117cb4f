"""Pictures of other machines for pages: fetched under the server's rules and stricter limits, and shown ones kept.

A page is no reason to read what workers may not read, nor to wait as long as they do: an answer that takes its time
holds one of the server's threads.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from fetching.errors import FetchError
from fetching.fetcher import Fetcher
from producer.exports.pictures import PictureFailed

if TYPE_CHECKING:
    from fetching.policy import FetchPolicy

#: Bytes and seconds of one picture; a policy that allows less wins.
MAX_BYTES, DEADLINE_S, SILENCE_S = 32 * 2**20, 10.0, 5.0
#: Pictures that are fetched at a time, and seconds that a further one waits for its turn.
_AT_ONCE, _TURN_S = 8, 2.0
#: Bytes of small pictures that are kept: some thousands.
KEPT_BYTES = 64 * 2**20


class RemotePictures:
    """What one server fetches for its pages; threads share it."""

    def __init__(self, policy: FetchPolicy, kept_bytes: int = KEPT_BYTES) -> None:
        self._fetcher = Fetcher(strict(policy))
        self._turns = threading.BoundedSemaphore(_AT_ONCE)
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._lock, self._left_bytes = threading.Lock(), kept_bytes

    def read(self, uri: str) -> bytes:
        """Give the bytes of one remote picture.

        Raises:
            PictureFailed: the rules do not allow it, it is too large or too slow, or it did not come.
        """
        if not self._turns.acquire(timeout=_TURN_S):
            raise PictureFailed("too many pictures are fetched at this moment; load the page again")
        try:
            return self._fetcher.read(uri)
        except FetchError as error:
            raise PictureFailed(str(error)) from error
        finally:
            self._turns.release()

    def close(self) -> None:
        """Give the connections back."""
        self._fetcher.close()

    def once(self, tag: str, make: Callable[[], bytes]) -> bytes:
        """Give what `make` gives for a tag, or gave: what nobody asked for the longest time is forgotten first."""
        with self._lock:
            if tag in self._kept:
                self._kept.move_to_end(tag)
                return self._kept[tag]
        made = make()
        with self._lock:
            self._left_bytes += len(self._kept.pop(tag, b"")) - len(made)
            self._kept[tag] = made
            while self._left_bytes < 0:
                self._left_bytes += len(self._kept.popitem(last=False)[1])
        return made


def strict(policy: FetchPolicy) -> FetchPolicy:
    """Give the same rules with limits that fit somebody who waits for a page."""
    return replace(
        policy,
        max_bytes=min(policy.max_bytes, MAX_BYTES),
        deadline_s=min(policy.deadline_s, DEADLINE_S),
        connect_s=min(policy.connect_s, SILENCE_S),
        read_s=min(policy.read_s, SILENCE_S),
        attempts=1,
    )
