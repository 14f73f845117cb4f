"""Whose item a decoder takes next: of the shards in work, the one whose tenant, then whose job, was served least."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from jobstore.submit import LARGE_JOB_ITEMS

#: Items that a newcomer is ahead of those who are at work, at most: a job of fewer goes through at once, and with the
#: items of a larger one the others take turns from then on.
HEAD_START = LARGE_JOB_ITEMS


class Runner(Protocol):
    """A shard in work, as the turns see it."""

    @property
    def owner_keys(self) -> tuple[str, str]:
        """Give the tenant and the job."""

    def begin_one(self) -> Callable[[], None] | None:
        """Take an item out and give what carries it on; None: there is none to take at this moment."""


@dataclass(slots=True)
class Shares:
    """Items that were taken, by who they belong to; nobody counts as served more than `HEAD_START` before a newcomer.

    A newcomer is who was not served while `HEAD_START` items were taken, so that one who sends a small job after the
    other does not keep the others waiting for ever. Who begins while nobody is at work owes nobody anything.
    """

    _taken: dict[str, int] = field(default_factory=dict)
    _served_at: dict[str, int] = field(default_factory=dict)
    _total: int = 0

    def join(self, keys: Collection[str], active: Collection[str]) -> None:
        """These begin, or are there already; `active` are all who are at work."""
        recent = self._total - HEAD_START
        known = {k for k in self._taken if active and (k in active or self._served_at[k] > recent)}
        self._taken = dict.fromkeys(keys, 0) | {k: min(self._taken[k], HEAD_START) for k in known}
        self._served_at = {k: self._served_at.get(k, self._total) for k in self._taken}

    def taken(self, key: str) -> int:
        """Give how much somebody was served."""
        return self._taken.get(key, 0)

    def count(self, key: str) -> None:
        """One more item."""
        self._total += 1
        self._taken[key] += 1
        self._served_at[key] = self._total


@dataclass(slots=True)
class Turns:
    """Keeps the decoders' threads at work on the items of all shards, one item at a time.

    Attributes:
        threads: of the executor; so many items are taken side by side.
        permits: one for each image between its reading and its outcome; who took an item gives it back.
    """

    decoders: Executor
    threads: int
    permits: threading.Semaphore
    _runs: list[Runner] = field(default_factory=list)
    _tenants: Shares = field(default_factory=Shares)
    _jobs: Shares = field(default_factory=Shares)
    _at_work: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def joined_by(self, *runs: Runner) -> Iterator[None]:
        """Have the items of shards taken for the length of a block."""
        with self._lock:
            for part, shares in enumerate((self._tenants, self._jobs)):
                active, new = ({run.owner_keys[part] for run in some} for some in (self._runs, runs))
                shares.join(new, active)
            self._runs += runs
        try:
            self.wake()
            yield
        finally:
            with self._lock:
                self._runs = [run for run in self._runs if run not in runs]

    def wake(self) -> None:
        """There may be items to take: let every thread look."""
        with self._lock:
            more, self._at_work = self.threads - self._at_work, self.threads
        for _ in range(more):
            self.decoders.submit(self._work)

    def _work(self) -> None:
        while True:
            self.permits.acquire()
            carry_on = self._take()
            if carry_on is None:
                return
            carry_on()

    def _take(self) -> Callable[[], None] | None:
        with self._lock:
            for run in sorted(self._runs, key=self._served):
                carry_on = run.begin_one()
                if carry_on is not None:
                    tenant, job = run.owner_keys
                    self._tenants.count(tenant)
                    self._jobs.count(job)
                    return carry_on
            self._at_work -= 1
            self.permits.release()
            return None

    def _served(self, run: Runner) -> tuple[int, int]:
        tenant, job = run.owner_keys
        return self._tenants.taken(tenant), self._jobs.taken(job)
