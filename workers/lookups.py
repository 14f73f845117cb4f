"""A shard's items that are looked up among results: together before they are run, and one by one as they begin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

from jobstore.result_cache import KeyBase, KnownResult
from workers.flights import Flight
from workers.results import ResultBook, is_finite

if TYPE_CHECKING:
    from jobstore.schema import Lease, Outcome
    from workers.opening import LoadedModel

#: Items that are looked up by one question; fewer where no more are to be read, or where their bytes are many.
LOOKUP_ITEMS, LOOKUP_BYTES = 32, 64 * 2**20

#: Told a flight and its result, which somebody else has made, or None where he failed.
Told = Callable[[Flight, KnownResult | None], None]


class Lookups:
    """What a shard asks a process's results. Its owner guards the list of waiting flights by his own lock.

    Attributes:
        waiting: flights whose bytes are here, and who are to be looked up together.
    """

    def __init__(self, results: ResultBook | None, lease: Lease, loaded: LoadedModel) -> None:
        """Begin a shard.

        Args:
            results: None: nothing is looked up.
        """
        self._results = results
        self._keys = _key_base(lease, loaded).keys() if results is not None else None
        self.waiting: list[Flight] = []

    def takes(self, flight: Flight) -> bool:
        """Say whether a flight that was read is looked up, and give it its key."""
        if self._keys is not None and flight.content is not None:
            flight.key = self._keys.of(flight.content)
        return flight.key is not None

    def take_due(self, *, are_all_read: bool) -> list[Flight]:
        """Take out those who are to be looked up now; none, while more are awaited."""
        is_full = len(self.waiting) >= LOOKUP_ITEMS or sum(len(one.data or b"") for one in self.waiting) >= LOOKUP_BYTES
        if not is_full and not are_all_read:
            return []
        due, self.waiting = self.waiting, []
        return due

    def find(self, asked: list[Flight]) -> Mapping[str, KnownResult]:
        """Give what is known of them, by key."""
        return self._results.find([flight.key for flight in asked if flight.key]) if self._results else {}

    def claim(self, flight: Flight, told: Told) -> bool:
        """Say whether this flight is to be run; else somebody runs the same bytes, and it waits to be `told`.

        It waits without its bytes, and may be in other hands before this returns.
        """
        if self._results is None or flight.key is None:
            return True
        data, flight.data = flight.data, None
        if not self._results.claim(flight.key, partial(told, flight)):
            return False
        flight.data, flight.is_claimed = data, True
        return True

    def settle(self, flight: Flight, outcome: Outcome | None) -> None:
        """It was run, or not after all: tell those who wait for the same result."""
        if self._results is None or flight.key is None or not flight.is_claimed:
            return
        flight.is_claimed = False
        known = None
        if outcome is not None and outcome.result_key is not None and outcome.record is not None:
            known = KnownResult(outcome.record, outcome.blob)
        self._results.settle(flight.key, known)


def key_to_keep(flight: Flight, record: Mapping[str, object]) -> str | None:
    """Give the key under which a prediction is kept; None: it is not."""
    return flight.key if flight.key is not None and is_finite(record) else None


def _key_base(lease: Lease, loaded: LoadedModel) -> KeyBase:
    package = loaded.model.package
    return KeyBase(lease.tenant, package.digest, package.task, lease.params, version("nightshift"))
