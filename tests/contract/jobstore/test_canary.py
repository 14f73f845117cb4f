import pytest

from jobstore.schema import JobState, WorkerRow
from tests.fixtures.jobs import (
    ALICE,
    LEASE_S,
    OVER_S,
    add,
    assert_books_balance,
    failed,
    finish,
    lease_next,
    ok,
    run_to_end,
    take,
    write,
)


def report_of(store, job_id):
    return next(event.details for event in store.events(job_id) if event.kind == "canary_done")


def test_a_large_job_begins_with_64_items_that_several_workers_can_share(store):
    job_id = add(store, 600, shard_size=64)

    hints = store.release(32)

    assert store.status(job_id).state is JobState.CANARY
    assert [[item.idx for item in take(store, hint).items] for hint in hints] == [
        list(range(first, first + 8)) for first in range(0, 64, 8)
    ]
    assert store.release(32) == []


@pytest.mark.parametrize(
    ("items", "wanted", "canary"),
    [(511, None, 0), (512, None, 64), (600, 0, 0), (8, 4, 4), (4, 4, 0), (4, 9, 0)],
    ids=["small", "large", "none-wanted", "wanted", "the-whole-job", "more-than-the-job"],
)
def test_the_canary_is_as_large_as_the_job_or_its_owner_says(store, items, wanted, canary):
    job = store.status(add(store, items, canary_items=wanted))

    assert job.canary_items == canary
    assert job.state is (JobState.CANARY if canary else JobState.RUNNING)


def test_after_a_good_canary_the_rest_follows_and_its_figures_are_kept(store):
    job_id = add(store, 12, canary_items=4)
    store.fleet.heartbeat(WorkerRow(ALICE, "host", 1, "cpu", "cpu", memory_bytes=5))

    write(store, lease_next(store), [ok(0), ok(1, objects=0), ok(2), ok(3)], finished=True)

    report = report_of(store, job_id)
    assert store.status(job_id).state is JobState.RUNNING
    assert (report["items"], report["failed_share"], report["empty_share"]) == (4, 0, 0.25)
    assert report["items_per_second"] > 0
    assert 0 <= report["eta_low_s"] <= report["eta_high_s"]
    run_to_end(store)
    assert store.status(job_id).state is JobState.COMPLETED
    assert_books_balance(store, job_id)


def test_a_canary_that_fails_stops_the_job_before_the_rest_is_spoilt(store):
    job_id = add(store, 100, shard_size=10, canary_items=10)
    leases = [take(store, hint) for hint in store.release(8)]

    for lease in leases:
        write(store, lease, [failed(item.idx) for item in lease.items[:1]])
        finish(store, lease)

    job = store.status(job_id)
    assert (job.state, job.reason) == (JobState.NEEDS_ATTENTION, "canary_failed")
    assert "2 of the first 10 items failed, 2.0% may" in job.message
    assert store.release(8) == []
    assert job.done == 10


def test_a_stopped_canary_that_is_resumed_goes_on_with_the_rest(store):
    job_id = add(store, 100, shard_size=10, canary_items=8)
    lease = lease_next(store)
    write(store, lease, [failed(item.idx) for item in lease.items], finished=True)

    store.resume(job_id, max_failure_rate=1.0)

    assert store.status(job_id).state is JobState.RUNNING
    run_to_end(store)
    assert store.status(job_id).is_ended
    assert_books_balance(store, job_id)


def test_a_canary_that_is_paused_goes_on_as_a_canary(store):
    job_id = add(store, 100, shard_size=10, canary_items=8)
    store.pause(job_id)

    store.resume(job_id)

    assert store.status(job_id).state is JobState.CANARY
    assert [len(take(store, hint).items) for hint in store.release(8)] == [8]


def test_a_canary_that_ended_during_a_pause_is_judged_by_the_relay(store):
    job_id = add(store, 100, shard_size=10, canary_items=8)
    lease = lease_next(store)
    store.pause(job_id)
    finish(store, lease)
    store.resume(job_id)

    assert store.relay.judge_jobs() == 1
    assert store.relay.judge_jobs() == 0
    assert store.status(job_id).state is JobState.RUNNING
    assert [event.kind for event in store.events(job_id)].count("canary_done") == 1


def test_a_canary_in_which_nothing_is_found_goes_on_and_says_so(store):
    job_id = add(store, 20, canary_items=4)

    write(store, lease_next(store), [ok(n, objects=0) for n in range(4)], finished=True)

    assert store.status(job_id).state is JobState.RUNNING
    assert report_of(store, job_id)["empty_share"] == 1.0


def test_a_job_with_a_canary_stops_as_soon_as_it_cannot_end_within_its_rate(store):
    job_id = add(store, 100, shard_size=10, canary_items=10, max_failure_rate=0.03)
    for hint in store.release(8):
        finish(store, take(store, hint))
    lease = lease_next(store)

    write(store, lease, [failed(n) for n in range(10, 13)])
    assert store.status(job_id).state is JobState.RUNNING
    write(store, lease, [failed(13)])

    assert store.status(job_id).reason == "failure_rate_exceeded"
    assert_books_balance(store, job_id)


def test_a_split_canary_shard_belongs_to_the_canary(store):
    job_id = add(store, 100, shard_size=10, canary_items=8)
    lease_next(store, lease_s=OVER_S)
    store.relay.expire_leases(1)

    first, second = [take(store, hint, lease_s=LEASE_S) for hint in store.release(8)]
    finish(store, first)
    assert store.status(job_id).state is JobState.CANARY
    finish(store, second)
    assert store.status(job_id).state is JobState.RUNNING
