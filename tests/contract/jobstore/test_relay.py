import pytest

from jobstore.schema import JobState, ShardId
from tests.fixtures.jobs import (
    BOB,
    LEASE_S,
    OVER_S,
    add,
    assert_books_balance,
    finish,
    lease_next,
    ok,
    queue_of,
    run_to_end,
    take,
    write,
)

QUEUE = queue_of("cpu")


def die(store, times=1, max_deaths=3):
    """Lease the next shard and lose the worker, `times` times."""
    for _ in range(times):
        lease_next(store, lease_s=OVER_S)
        assert store.relay.expire_leases(max_deaths) == 1


def test_an_expired_lease_is_pending_again_with_the_next_attempt(store):
    add(store, 4)
    first = lease_next(store, lease_s=OVER_S)

    assert store.relay.expire_leases(3) == 1
    assert store.relay.expire_leases(3) == 0
    assert lease_next(store, BOB).attempt == first.attempt + 1


def test_a_lease_that_runs_is_left_alone(store):
    add(store, 4)
    lease_next(store)

    assert store.relay.expire_leases(3) == 0


def test_a_shard_that_lost_too_many_workers_is_halved(store):
    job_id = add(store, 4)
    die(store, times=3)

    first = lease_next(store)
    finish(store, first)
    second = lease_next(store)

    assert [[item.idx for item in half.items] for half in (first, second)] == [[0, 1], [2, 3]]
    assert finish(store, second) is True
    assert store.events(job_id)[2].kind == "shard_split"
    assert_books_balance(store, job_id)


def test_a_shard_that_was_given_back_often_has_lost_nobody(store):
    add(store, 4)
    for _ in range(5):
        assert store.release_shard(lease_next(store))
    die(store)

    assert len(lease_next(store).items) == 4


def test_a_split_divides_only_what_is_left(store):
    job_id = add(store, 8, shard_size=8)
    die(store, times=2)
    lease = lease_next(store)
    write(store, lease, [ok(1), ok(6)])
    store.renew(lease.owner, [(lease.shard_id, lease.attempt)], OVER_S)
    store.relay.expire_leases(3)

    halves = []
    while hints := store.release(1):
        halves.append(take(store, hints[0]))
        finish(store, halves[-1])

    assert [[item.idx for item in half.items] for half in halves] == [[0, 2, 3], [4, 5, 7]]
    assert store.status(job_id).ok == 8
    assert_books_balance(store, job_id)


@pytest.mark.parametrize("poison", [0, 5, 15])
def test_one_item_that_kills_every_worker_is_isolated_and_the_others_succeed(store, poison):
    job_id = add(store, 16, shard_size=16)
    deaths = 0
    while hints := store.release(1):
        lease = take(store, hints[0])
        if poison not in [item.idx for item in lease.items]:
            finish(store, lease)
            continue
        deaths += 1
        store.renew(lease.owner, [(lease.shard_id, lease.attempt)], OVER_S)
        assert store.relay.expire_leases(3) == 1

    job = store.status(job_id)
    group = store.failures(job_id)[0]
    assert (job.state, job.ok, job.failed) == (JobState.COMPLETED_WITH_ERRORS, 15, 1)
    assert (group.code, group.examples) == ("worker_lost", (f"/pictures/{poison}.png",))
    assert deaths == 8  # three of the whole, one each of 8, 4 and 2, two of the item alone
    assert "worker_lost" in [event.kind for event in store.events(job_id)]
    assert_books_balance(store, job_id)


def test_an_item_that_stands_alone_is_tried_once_more_than_a_shard(store):
    job_id = add(store, 1)
    die(store, times=3)

    finish(store, lease_next(store))

    assert store.status(job_id).state is JobState.COMPLETED


def test_the_neighbour_of_a_deadly_item_is_not_in_work_beside_it(store):
    add(store, 2)
    die(store, times=3)

    alone = take(store, store.release(8)[0])

    assert [item.idx for item in alone.items] == [0]
    assert store.release(8) == []


def test_a_shard_whose_last_item_was_written_before_its_worker_died_is_done(store):
    job_id = add(store, 2)
    lease = lease_next(store)
    store.record(lease, [ok(0), ok(1)], decision_id=None, lease_s=OVER_S, finished=False)

    assert store.relay.expire_leases(1) == 1
    assert store.status(job_id).state is JobState.COMPLETED
    assert_books_balance(store, job_id)


def test_of_shards_that_may_be_deadly_one_runs_at_a_time(store):
    add(store, 12)
    hints = store.release(3)
    for _ in range(2):
        for hint in hints:
            take(store, hint, lease_s=OVER_S)
        store.relay.expire_leases(9)
        hints = store.release(3)

    assert len(hints) == 1
    assert store.release(3) == []
    finish(store, take(store, hints[0]))
    assert len(store.release(3)) == 1


def test_hints_that_redis_forgot_are_due_again(store):
    add(store, 12)
    first = store.release(2)
    take(store, first[0])

    assert store.relay.forget_hints() == 1
    assert {hint.shard_id for hint in store.release(8)} >= {first[1].shard_id}


def test_old_hints_of_an_empty_queue_are_due_again(store):
    add(store, 4)
    hint = store.release(1)[0]

    assert store.relay.requeue_lost([QUEUE], older_than_s=60.0) == 0
    assert store.relay.requeue_lost(["infer.cpu.other"], older_than_s=0.0) == 0
    assert store.relay.requeue_lost([], older_than_s=0.0) == 0
    assert store.relay.requeue_lost([QUEUE], older_than_s=0.0) == 1
    assert store.release(1) == [hint]


def test_a_doubled_hint_of_a_requeued_shard_gives_one_lease(store):
    add(store, 4)
    lost = store.release(1)[0]
    store.relay.requeue_lost([QUEUE], older_than_s=0.0)
    again = store.release(1)[0]

    leases = [store.lease_shard(hint.shard_id, hint.attempt, BOB, LEASE_S) for hint in (again, lost)]

    assert [lease is not None for lease in leases] == [True, False]


def test_work_goes_on_after_every_hint_is_lost(store):
    job_id = add(store, 20)
    store.release(3)
    store.relay.forget_hints()

    run_to_end(store)

    assert store.status(job_id).state is JobState.COMPLETED
    assert_books_balance(store, job_id)


def test_a_lease_on_a_shard_that_was_never_queued_works_too(store):
    """A hint may arrive after the relay has forgotten that it was sent."""
    add(store, 4)
    hint = store.release(1)[0]
    store.relay.forget_hints()

    assert store.lease_shard(ShardId(hint.shard_id), hint.attempt, BOB, LEASE_S) is not None


def test_a_death_that_is_counted_at_once_needs_no_lease_to_run_out(store):
    add(store, 4)
    first = lease_next(store)

    assert store.count_death(first, 3)

    again = lease_next(store, BOB)
    assert (again.attempt, again.deaths) == (first.attempt + 1, 1)
    assert not store.count_death(first, 3)


def test_the_last_death_that_is_counted_gives_the_item_up(store):
    job_id = add(store, 1)
    for _ in range(4):
        assert store.count_death(lease_next(store), 3)

    assert [group.code for group in store.failures(job_id)] == ["worker_lost"]
    assert_books_balance(store, job_id)


def test_a_hint_that_nobody_takes_is_overdue_in_its_own_queue(store):
    add(store, 4)
    (hint,) = store.release(1)

    assert store.relay.hints_overdue([QUEUE], 0.0)
    assert not store.relay.hints_overdue([QUEUE], 60.0)
    assert not store.relay.hints_overdue(["infer.cpu.other"], 0.0)
    take(store, hint)
    assert not store.relay.hints_overdue([QUEUE], 0.0)
