"""A pytest plugin, `-p tests.faults.lossy`: the job store loses the reply of a share of its commits.

The ordinary tests then hold two things at once: what they say, and that it is so whatever reply is lost. Some answers
are not given twice, by design: who hands work out cannot know whether the asker heard it. `SPARED` names those, and the
tests that hold what happens instead.
"""

from __future__ import annotations

import functools
import os
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

from jobstore.connection import Database
from jobstore.export_requests import ExportRequests
from jobstore.fleet import Fleet
from jobstore.openings import Openings
from jobstore.outbox import Outbox
from jobstore.repairs import Repairs
from jobstore.schedules import Schedules
from jobstore.store import JobStore
from jobstore.upkeep import Upkeep
from jobstore.verdicts import Verdicts
from tests.faults.inject.lost_replies import lose_replies

SHARE = float(os.environ.get("FAULT_LOSSY") or 0.05)
SEED = int(os.environ.get("FAULT_SEED") or random.SystemRandom().randrange(2**31))
_HINTS = "tests/contract/jobstore/test_outages.py::test_hints_whose_commit_reply_was_lost_are_found_by_the_relay"
_LEASE = "tests/contract/jobstore/test_outages.py::test_a_lease_whose_commit_reply_was_lost_runs_out_like_any_other"
_REPAIRS = "tests/contract/jobstore/test_outages.py::test_a_repair_whose_commit_reply_was_lost_is_done_once"
_NOTHING = "counts or names what it did, for a log line or a chore that comes again; the next try finds nothing to do"
_CLAIM = "gives work to whoever asked, and cannot know that he did not hear of it: his claim runs out, {}"
_CLAIMS = {
    ExportRequests: "test_export_requests.py::test_an_exporter_who_died_is_replaced_and_its_note_changes_nothing",
    Outbox: "test_outbox.py::test_a_sender_who_died_is_replaced_and_its_note_changes_nothing",
    Schedules: "test_schedules.py::test_a_claimer_who_died_before_the_submit_is_replaced",
    Verdicts: "test_verdicts.py::test_a_judge_who_died_is_replaced_and_his_note_changes_nothing",
}
#: Method of the store, or of its repairs -> why its answer is not given again.
SPARED = {
    (JobStore, "release"): f"gives hints to whoever asked, and cannot know that he did not hear them: {_HINTS}",
    (JobStore, "lease_shard"): f"the same hint may come twice to a worker, who must not run its shard twice: {_LEASE}",
    (JobStore, "lease_beside"): f"takes what waits beside it, and the next try finds other shards: {_LEASE}",
    (Openings, "postpone"): "gives seconds for a log line; the next try finds the shard given back, as it should be",
    **{(owner, "claim"): _CLAIM.format(f"tests/contract/jobstore/{test}") for owner, test in _CLAIMS.items()},
    (Fleet, "report_speed"): "mixes a measurement into a mean; twice, it counts for a little more",
    **dict.fromkeys(
        [(ExportRequests, "prune"), (Outbox, "prune"), (Upkeep, "take_turn"), (Fleet, "forget_workers")], _NOTHING
    ),
    **dict.fromkeys(
        [
            (Repairs, name)
            for name in (
                "expire_leases", "forget_hints", "requeue_lost", "recall_outranked", "reroute", "offer_stragglers",
                "judge_jobs",
            )
        ],
        f"counts what it repaired, for a log line; the next try finds nothing left to repair: {_REPAIRS}",
    ),
    (Repairs, "expire_jobs"): f"names what it ended, for those who wait and look once a second anyway: {_REPAIRS}",
}  # fmt: skip
#: Tests that are about the number of transactions, or lose replies themselves.
NOT_APPLICABLE = {
    "test_four_writers_and_a_reader_need_no_retry_on_sqlite": "counts repeats",
    "test_a_page_of_a_large_job_is_read_by_keys": "writes rows by itself, which cannot be written twice",
    "test_who_needs_files_waits_for_who_takes_them_away": "counts what may be done twice",
    "test_of_two_last_shards_that_finish_at_once_one_completes_the_job": (
        "who finished and did not hear of it says that the job has ended, as it has by then; it is announced twice"
    ),
    "test_many_queues.py": "writes rows by itself, likewise",
    "test_what_a_page_reads_does_not_grow_with_the_items_of_a_job": "counts statements",
    "test_outages.py": "loses replies itself, one by one",
    "test_any_order.py": "loses replies itself, where Hypothesis says so; others would make its runs differ",
}

#: How deep each thread is in calls of the store, and in those whose answer is not given again.
_store, _calm = threading.local(), threading.local()


def pytest_configure() -> None:
    """Wrap the commits of the store in this process; a test's own, straight into the database, are none of them."""
    lose_replies(SHARE, random.Random(SEED), lambda: _depth(_store) > 0 and not _depth(_calm))
    Database.retried = _counted(_store, Database.retried)
    for owner, name in SPARED:
        setattr(owner, name, _counted(_calm, getattr(owner, name)))


def pytest_report_header() -> str:
    """Say how to repeat the run."""
    return f"{SHARE:.0%} of commits lose their reply: FAULT_SEED={SEED}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what cannot hold, with its reason."""
    for item in items:
        reasons = [reason for part, reason in NOT_APPLICABLE.items() if part in item.nodeid]
        if reasons:
            item.add_marker(pytest.mark.skip(reason=reasons[0]))


def _depth(place: threading.local) -> int:
    return getattr(place, "depth", 0)


def _counted(place: threading.local, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(*arguments: Any, **options: Any) -> Any:
        place.depth = _depth(place) + 1
        try:
            return method(*arguments, **options)
        finally:
            place.depth -= 1

    return call
