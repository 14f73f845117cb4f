"""Relays, producers and workers at the same moment: each repair happens once, and a stopped job holds still."""

import contextlib
import random

import pytest

from jobstore.errors import LeaseLost
from jobstore.schema import STOPPED_STATES, JobState, WorkerId, WorkerRow
from tests.contract.jobstore.test_concurrency import at_once, drain
from tests.fixtures.jobs import (
    ALICE,
    BOB,
    LEASE_S,
    OVER_S,
    add,
    assert_books_balance,
    failed,
    finish,
    lease_next,
    ok,
    take,
    write,
)


def kinds(store, job_id):
    return [event.kind for event in store.events(job_id)]


def test_of_several_relays_one_expires_a_job(store):
    ids = [add(store, 8, expires=1.0) for _ in range(4)]

    found = at_once(*[store.relay.expire_jobs] * 3)

    assert sorted(job_id for part in found for job_id in part) == sorted(ids)
    for job_id in ids:
        assert kinds(store, job_id).count("expired") == 1
        assert_books_balance(store, job_id)


def test_of_several_relays_one_offers_a_silent_workers_shard(store):
    job_id = add(store, 4)
    store.fleet.heartbeat(WorkerRow(BOB, "host", 1, "cpu", "cpu"))
    lease_next(store, BOB)
    for name in ("a", "b", "c"):
        store.fleet.heartbeat(WorkerRow(WorkerId(name), "host", 1, "cpu", "cpu"))
    from sqlalchemy import update

    from jobstore.tables import workers

    silent = update(workers).where(workers.c.id == BOB).values(heartbeat=workers.c.heartbeat - 60)
    store._db.write(lambda db: db.execute(silent))

    counts = at_once(*[store.relay.offer_stragglers] * 3)

    assert sum(counts) == 1
    assert kinds(store, job_id).count("straggler_offered") == 1


def test_several_relays_move_a_jobs_shards_once(store):
    job_id = add(store, 40, hardware=("gpu-sm90", "cpu"))
    store.fleet.heartbeat(WorkerRow(ALICE, "host", 1, "cpu", "cpu"))

    counts = at_once(*[lambda: store.relay.reroute(32, 0.0)] * 3)

    assert sum(counts) == 10
    assert [row.pending for row in store.fleet.queues()] == [10]
    assert kinds(store, job_id).count("rerouted") == 1


def test_several_relays_judge_a_canary_once(store):
    job_id = add(store, 12, canary_items=4)
    lease = lease_next(store)
    store.pause(job_id)
    finish(store, lease)
    store.resume(job_id)

    assert sum(at_once(*[store.relay.judge_jobs] * 3)) >= 1
    assert kinds(store, job_id).count("canary_done") == 1
    assert store.status(job_id).state is JobState.RUNNING


def test_of_the_last_two_canary_shards_that_end_at_once_one_judges(store):
    for _ in range(10):
        job_id = add(store, 24, canary_items=8)
        first, second = [take(store, hint) for hint in store.release(2)]

        at_once(lambda a=first: finish(store, a), lambda b=second: finish(store, b))

        assert store.status(job_id).state is JobState.RUNNING
        assert kinds(store, job_id).count("canary_done") == 1
        store.cancel(job_id)


def test_two_flushes_that_break_the_limit_together_stop_the_job(store):
    for _ in range(10):
        job_id = add(store, 24, max_failures=1)
        first, second = [take(store, hint) for hint in store.release(2)]

        at_once(
            lambda lease=first: write(store, lease, [failed(0)]), lambda lease=second: write(store, lease, [failed(4)])
        )
        store.relay.judge_jobs()  # neither flush may have seen the other

        assert store.status(job_id).state is JobState.NEEDS_ATTENTION
        assert kinds(store, job_id).count("needs_attention") == 1
        store.cancel(job_id)


@pytest.mark.parametrize("act", ["give back", "expire", "lease", "release"])
def test_a_pause_beside_a_worker_or_a_relay_leaves_nothing_that_could_run(store, act):
    for _ in range(10):
        job_id = add(store, 8)
        hints = store.release(1)
        if act == "lease":
            other = lambda hint=hints[0]: store.lease_shard(hint.shard_id, hint.attempt, ALICE, LEASE_S)  # noqa: E731
        elif act == "release":
            other = lambda: store.release(4)  # noqa: E731
        else:
            lease = take(store, hints[0], lease_s=OVER_S)
            other = (
                (lambda: store.relay.expire_leases(1))
                if act == "expire"
                else lambda held=lease: store.release_shard(held)
            )

        at_once(other, lambda job_id=job_id: store.pause(job_id))

        assert store.status(job_id).state is JobState.PAUSED
        assert store.fleet.queues_with_work(["cpu"]) == []
        store.cancel(job_id)
        assert_books_balance(store, job_id)


@pytest.mark.parametrize("seed", range(3))
def test_relays_that_do_everything_beside_workers_and_an_undecided_owner_lose_nothing(store, seed):
    job_ids = [add(store, 24, tenant=tenant, hardware=("gpu-sm90", "cpu"), canary_items=4) for tenant in "ab"]
    store.fleet.heartbeat(WorkerRow(WorkerId("w0"), "host", 1, "cpu", "cpu"))
    store.fleet.heartbeat(WorkerRow(WorkerId("w1"), "host", 1, "gpu-sm90", "cpu"))
    noise = [random.Random(f"{seed}-{number}") for number in range(5)]

    at_once(
        lambda: worker(store, WorkerId("w0"), noise[0]),
        lambda: worker(store, WorkerId("w1"), noise[1]),
        lambda: relay(store, noise[2]),
        lambda: relay(store, noise[3]),
        lambda: undecided(store, job_ids, noise[4]),
    )
    for job_id in job_ids:
        if store.status(job_id).state in STOPPED_STATES:
            store.resume(job_id, 24, 1.0)
    store.relay.judge_jobs()
    for _ in range(3):
        drain(store, job_ids)
        store.relay.judge_jobs()

    for job_id in job_ids:
        assert store.status(job_id).is_ended
        assert_books_balance(store, job_id)


def worker(store, owner, noise):
    for _ in range(20):
        for hint in store.release(4):
            lease = store.lease_shard(hint.shard_id, hint.attempt, owner, LEASE_S)
            if lease is None:
                continue
            with contextlib.suppress(LeaseLost):
                write(store, lease, [noise.choice([ok, ok, failed])(item.idx) for item in lease.items[:1]])
                answer = store.renew(owner, [(lease.shard_id, lease.attempt)], noise.choice([LEASE_S, OVER_S]))
                _ = store.release_shard(lease) if answer.give_back else finish(store, lease)


def relay(store, noise):
    repairs = [
        lambda: store.relay.expire_leases(2), store.relay.judge_jobs, store.relay.offer_stragglers,
        store.relay.recall_outranked, lambda: store.relay.reroute(1, 0.0), store.relay.forget_hints,
        store.relay.expire_jobs,
    ]  # fmt: skip
    for _ in range(40):
        noise.choice(repairs)()


def undecided(store, job_ids, noise):
    for _ in range(30):
        steer(store, noise.choice(job_ids), noise)


def steer(store, job_id, noise):
    ways = [
        lambda: store.pause(job_id),
        lambda: store.resume(job_id, 24, 1.0),
        lambda: store.reprioritise(job_id, noise.randrange(3)),
        lambda: store.refuse_class(job_id, "gpu-sm90", "no_runnable_backend", "no"),
    ]
    noise.choice(ways)()
