"""Who is served next by the decoders of a process."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from workers.turns import HEAD_START, Shares, Turns


@dataclass(eq=False)
class Work:
    """A shard whose items write down whose they were."""

    tenant: str
    job: str
    items: int
    served: list
    holds_at: int = -1
    is_holding: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    permits: threading.Semaphore | None = None

    @property
    def owner_keys(self):
        return self.tenant, self.job

    def begin_one(self):
        if not self.items:
            return None
        self.items -= 1
        return self._carry_on

    def _carry_on(self):
        self.served.append(self.job)
        if self.items == self.holds_at:
            self.is_holding.set()
            self.go_on.wait(30)
        self.permits.release()


@pytest.fixture
def turns():
    with ThreadPoolExecutor(1) as decoders:
        yield Turns(decoders, 1, threading.Semaphore(1))


def run_beside(turns, first, *later):
    """Let the others come while the first is at its sixth item; give the order in which items were served from then."""
    first.holds_at = first.items - 6
    for work in (first, *later):
        work.permits, work.served = turns.permits, first.served
    with ExitStack() as at_work:
        at_work.enter_context(turns.joined_by(first))
        first.is_holding.wait(30)
        for work in later:
            at_work.enter_context(turns.joined_by(work))
        first.go_on.set()
        turns.decoders.shutdown()
    return first.served[6:]


def test_a_small_job_that_comes_later_goes_before_a_large_one(turns):
    served = run_beside(turns, Work("a", "large", 12, []), Work("b", "small", 3, []))

    assert served == ["small"] * 3 + ["large"] * 6


def test_a_tenants_jobs_share_what_is_the_tenants(turns):
    served = run_beside(turns, Work("a", "a1", 20, []), Work("a", "a2", 20, []), Work("b", "b1", 12, []))

    assert served[:6] == ["b1"] * 6
    assert Counter(served[6:18]) == {"b1": 6, "a2": 6}


def test_who_comes_later_is_ahead_by_no_more_than_a_small_job():
    shares = Shares()
    shares.join({"large"}, set())
    for _ in range(10 * HEAD_START):
        shares.count("large")

    shares.join({"late"}, {"large"})

    assert shares.taken("large") - shares.taken("late") == HEAD_START


def test_who_comes_again_and_again_is_a_newcomer_once():
    shares = Shares()
    shares.join({"large"}, set())
    shares.count("large")
    shares.join({"often"}, {"large"})
    for _ in range(HEAD_START):
        shares.count("often")

    shares.join({"often"}, {"large"})

    assert shares.taken("often") == HEAD_START


@pytest.mark.parametrize("others", [{"large"}, set()], ids=["others went on", "nobody was at work"])
def test_what_somebody_had_long_ago_is_forgotten(others):
    shares = Shares()
    shares.join({"large"}, set())
    shares.join({"late"}, {"large"})
    shares.count("late")
    for _ in range(HEAD_START if others else 0):
        shares.count("large")

    shares.join({"late"}, others)

    assert shares.taken("late") == 0
