import pytest

from jobstore.errors import InvalidJob, JobNotFound, LeaseLost
from jobstore.schema import JobId, JobState, Renewal
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
    queue_of,
    run_to_end,
    take,
    write,
)


def held(lease):
    return [(lease.shard_id, lease.attempt)]


def test_a_paused_job_is_neither_released_nor_leased_nor_seen_by_workers(store):
    job_id = add(store, 12)
    sent = store.release(2)

    assert store.pause(job_id) is True

    assert store.release(8) == []
    assert [store.lease_shard(hint.shard_id, hint.attempt, ALICE, LEASE_S) for hint in sent] == [None, None]
    assert store.fleet.queues_with_work(["cpu"]) == []
    assert (store.status(job_id).state, store.status(job_id).reason) == (JobState.PAUSED, "paused")
    assert_books_balance(store, job_id)


def test_a_worker_learns_of_a_pause_when_it_renews_and_keeps_what_it_flushes(store):
    job_id = add(store, 4)
    lease = lease_next(store)
    store.pause(job_id)

    answer = store.renew(ALICE, held(lease), LEASE_S)

    assert answer == Renewal(frozenset({lease.shard_id}), frozenset({lease.shard_id}))
    write(store, lease, [ok(0)])
    assert store.release_shard(lease) is True
    assert store.release(8) == []
    assert store.status(job_id).ok == 1


def test_a_worker_makes_room_for_what_is_more_urgent_as_much_as_it_needs(store):
    add(store, 12)
    leases = [lease_next(store) for _ in range(3)]
    mine = [(lease.shard_id, lease.attempt) for lease in leases]
    urgent = add(store, 8)
    assert store.renew(ALICE, mine, LEASE_S).give_back == frozenset()

    store.reprioritise(urgent, 5)

    renewal = store.renew(ALICE, mine, LEASE_S)
    assert (len(renewal.kept), len(renewal.give_back)) == (3, 2)


def test_nothing_is_given_back_for_work_of_another_queue_or_of_a_stopped_job(store):
    add(store, 4)
    lease = lease_next(store)
    add(store, 4, priority=5, hardware=("gpu-sm90",))
    store.pause(add(store, 4, priority=5))

    assert store.renew(ALICE, held(lease), LEASE_S).give_back == frozenset()


def test_a_resumed_job_goes_on_where_it_stood(store):
    job_id = add(store, 12)
    finish(store, lease_next(store))
    store.pause(job_id)

    assert store.resume(job_id) is True

    run_to_end(store)
    assert store.status(job_id).state is JobState.COMPLETED
    assert store.status(job_id).reason is None
    assert [event.kind for event in store.events(job_id)][2:4] == ["paused", "resumed"]
    assert_books_balance(store, job_id)


def test_a_hint_from_before_the_pause_works_after_it(store):
    job_id = add(store, 4)
    hint = store.release(1)[0]
    store.pause(job_id)
    store.resume(job_id)

    assert store.lease_shard(hint.shard_id, hint.attempt, ALICE, LEASE_S) is not None


def test_a_lease_that_runs_out_during_a_pause_is_held_until_the_job_goes_on(store):
    job_id = add(store, 4)
    lease_next(store, lease_s=OVER_S)
    store.pause(job_id)

    assert store.relay.expire_leases(3) == 1
    assert store.fleet.queues_with_work(["cpu"]) == []
    store.resume(job_id)
    assert len(store.release(8)) == 1


def test_a_shard_that_is_split_during_a_pause_has_both_halves_held(store):
    job_id = add(store, 4)
    lease_next(store, lease_s=OVER_S)
    store.pause(job_id)

    store.relay.expire_leases(1)

    assert store.release(8) == []
    store.resume(job_id)
    run_to_end(store)
    assert store.status(job_id).state is JobState.COMPLETED


def test_a_paused_job_whose_last_shard_ends_is_completed(store):
    job_id = add(store, 4)
    lease = lease_next(store)
    store.pause(job_id)

    assert finish(store, lease) is True
    assert store.status(job_id).state is JobState.COMPLETED
    assert_books_balance(store, job_id)


def test_a_paused_job_can_be_cancelled(store):
    job_id = add(store, 8)
    store.pause(job_id)

    assert store.cancel(job_id) is True
    assert store.status(job_id).skipped == 8
    assert_books_balance(store, job_id)


@pytest.mark.parametrize("end", ["cancelled", "completed"])
def test_an_ended_job_is_neither_paused_nor_resumed_nor_reprioritised(store, end):
    job_id = add(store, 4)
    _ = store.cancel(job_id) if end == "cancelled" else run_to_end(store)

    assert [store.pause(job_id), store.resume(job_id), store.reprioritise(job_id, 3)] == [False] * 3
    assert store.status(job_id).state == end


def test_a_running_job_is_not_resumed_and_a_paused_one_not_paused_again(store):
    job_id = add(store, 4)

    assert store.resume(job_id) is False
    assert [store.pause(job_id), store.pause(job_id)] == [True, False]


def test_steering_a_job_that_does_not_exist_says_so(store):
    for steer in (store.pause, store.resume, lambda job_id: store.reprioritise(job_id, 1)):
        with pytest.raises(JobNotFound, match="nightshift jobs"):
            steer(JobId("none"))


def test_a_raised_priority_takes_the_place_of_hints_that_redis_holds(store):
    first, second = add(store, 40), add(store, 40)
    sent = store.release(4, queue_of("cpu"))
    store.reprioritise(second, 5)

    again = store.release(4)

    assert [take(store, hint).job_id for hint in again] == [second] * 4
    assert [store.lease_shard(hint.shard_id, hint.attempt, BOB, LEASE_S) for hint in sent] == [None] * 4
    assert store.status(first).priority == 0


def test_a_new_urgent_job_does_not_wait_behind_hints_that_redis_holds(store):
    add(store, 40)
    store.release(4)
    urgent = add(store, 40, priority=1)

    assert store.relay.recall_outranked() == 4
    assert [take(store, hint).job_id for hint in store.release(4)] == [urgent] * 4


def test_hints_of_one_priority_stay_where_they_are(store):
    add(store, 40, priority=1)
    store.release(4)
    add(store, 40, priority=1)

    assert store.relay.recall_outranked() == 0


def test_a_shard_that_may_be_deadly_recalls_nobody(store):
    add(store, 4, priority=1)
    for _ in range(2):
        lease_next(store, lease_s=OVER_S)
        store.relay.expire_leases(9)
    add(store, 40)
    store.release(4)

    store.relay.recall_outranked()

    assert store.relay.recall_outranked() == 0


def test_a_priority_is_a_32_bit_integer(store):
    with pytest.raises(InvalidJob, match="32-bit"):
        store.reprioritise(add(store, 4), 2**31)


def test_more_failures_than_allowed_stop_the_job_at_once(store):
    job_id = add(store, 40, max_failures=1)
    lease = lease_next(store)

    write(store, lease, [failed(0), failed(1)])

    job = store.status(job_id)
    assert (job.state, job.reason) == (JobState.NEEDS_ATTENTION, "too_many_failures")
    assert "2 items failed, 1 may, most of them not_an_image (2), such as /pictures/0.png: no picture" in job.message
    assert "nightshift resume" in job.message
    assert store.renew(ALICE, held(lease), LEASE_S).give_back == {lease.shard_id}
    assert store.release(8) == []
    assert_books_balance(store, job_id)


def test_failures_of_two_shards_at_once_stop_the_job_at_the_relays_next_look(store, database_url):
    from sqlalchemy import update

    from jobstore.connection import WRITES, make_engine
    from jobstore.tables import jobs

    job_id = add(store, 40, max_failures=9)
    for hint in store.release(2):
        lease = take(store, hint)
        write(store, lease, [failed(item.idx) for item in lease.items])
    engine = make_engine(database_url).execution_options(**{WRITES: True})
    with engine.begin() as connection:  # as two flushes leave it that did not see each other
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(max_failures=7))
    engine.dispose()

    assert store.relay.judge_jobs() == 1
    assert store.status(job_id).state is JobState.NEEDS_ATTENTION


def test_after_a_resume_the_policy_counts_from_there(store):
    job_id = add(store, 40, max_failures=1)
    write(store, lease_next(store), [failed(n) for n in range(4)], finished=True)
    store.resume(job_id)

    write(store, lease_next(store), [failed(4)])
    assert store.status(job_id).state is JobState.RUNNING
    write(store, lease_next(store), [failed(8)])
    assert store.status(job_id).state is JobState.NEEDS_ATTENTION


def test_failures_of_a_shard_at_work_are_forgiven_too(store):
    job_id = add(store, 40, max_failures=1)
    write(store, lease_next(store), [failed(0), failed(1)])

    store.resume(job_id)

    assert store.relay.judge_jobs() == 0
    assert store.status(job_id).state is JobState.RUNNING


def test_a_pause_forgives_nothing(store):
    job_id = add(store, 40, max_failures=1)
    lease = lease_next(store)
    write(store, lease, [failed(0)])
    store.pause(job_id)
    store.resume(job_id)

    write(store, lease, [failed(1)])
    assert store.status(job_id).state is JobState.NEEDS_ATTENTION


def test_a_resume_may_bring_other_limits(store):
    job_id = add(store, 8, max_failures=0)
    write(store, lease_next(store), [failed(0)])

    store.resume(job_id, max_failures=8, max_failure_rate=1.0)
    store.relay.expire_leases(3)

    job = store.status(job_id)
    assert (job.max_failures, job.max_failure_rate, job.is_over_failure_limit) == (8, 1.0, False)


def test_a_small_job_runs_to_its_end_whatever_its_rate(store):
    job_id = add(store, 8, max_failure_rate=0.0)
    write(store, lease_next(store), [failed(n) for n in range(4)], finished=True)

    finish(store, lease_next(store))

    job = store.status(job_id)
    assert (job.state, job.is_over_failure_limit) == (JobState.COMPLETED_WITH_ERRORS, True)


def test_a_job_that_was_stopped_by_its_failures_can_be_cancelled(store):
    job_id = add(store, 8, max_failures=0)
    lease = lease_next(store)
    write(store, lease, [failed(0)])

    assert store.cancel(job_id) is True
    with pytest.raises(LeaseLost):
        write(store, lease, [ok(1)])
    assert_books_balance(store, job_id)
