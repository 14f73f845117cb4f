import time

import pytest

from jobstore.errors import InvalidJob, LeaseLost
from jobstore.schema import JobState, OutcomeState
from tests.fixtures.jobs import add, assert_books_balance, finish, lease_next, ok, take, write

PAST, FUTURE = 1.0, time.time() + 3600


def test_a_job_whose_time_is_over_ends_with_what_it_has(store):
    job_id = add(store, 12, expires=PAST)
    finish(store, lease_next(store))
    running = lease_next(store)
    write(store, running, [ok(4)])

    assert store.relay.expire_jobs() == [job_id]
    assert store.relay.expire_jobs() == []

    job = store.status(job_id)
    assert (job.state, job.reason, job.ok, job.skipped) == (JobState.EXPIRED, "expired", 5, 7)
    assert {row.error.code for row in store.results(job_id, states=[OutcomeState.SKIPPED])} == {"job_expired"}
    with pytest.raises(LeaseLost):
        write(store, running, [ok(5)])
    assert_books_balance(store, job_id)


def test_a_stopped_job_expires_too(store):
    paused, canary = add(store, 8, expires=PAST), add(store, 8, expires=PAST, canary_items=4)
    store.pause(paused)

    assert sorted(store.relay.expire_jobs()) == sorted([paused, canary])
    for job_id in (paused, canary):
        assert_books_balance(store, job_id)


def test_a_job_whose_time_has_not_come_runs_on(store):
    add(store, 4, expires=FUTURE)
    add(store, 4, deadline=PAST)

    assert store.relay.expire_jobs() == []


def test_the_earlier_deadline_goes_first_within_a_tenant(store):
    none, late, early = add(store, 8), add(store, 8, deadline=FUTURE), add(store, 8, deadline=PAST)

    assert [take(store, hint).job_id for hint in store.release(6)] == [early, early, late, late, none, none]


def test_a_deadline_gives_no_tenant_a_larger_share(store):
    plain, urgent = add(store, 40, tenant="a"), add(store, 40, tenant="b", deadline=PAST)

    found = [take(store, hint).job_id for hint in store.release(6)]

    assert sorted(found) == sorted([plain, urgent] * 3)


def test_a_priority_outranks_a_deadline(store):
    urgent, high = add(store, 8, deadline=PAST), add(store, 8, priority=1)

    assert [take(store, hint).job_id for hint in store.release(4)] == [high, high, urgent, urgent]


def test_tenants_get_shares_by_their_weights(store):
    store.set_weight("heavy", 3.0)
    heavy, light = add(store, 100, tenant="heavy"), add(store, 100, tenant="light")

    found = [lease_next(store).job_id for _ in range(8)]

    assert (found.count(heavy), found.count(light)) == (6, 2)


def test_a_weight_can_be_changed_and_has_to_be_positive(store):
    store.set_weight("a", 9.0)
    store.set_weight("a", 1.0)
    one, other = add(store, 40, tenant="a"), add(store, 40, tenant="b")

    found = [take(store, hint).job_id for hint in store.release(4)]

    assert (found.count(one), found.count(other)) == (2, 2)
    for wrong in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(InvalidJob, match="above 0"):
            store.set_weight("a", wrong)


def test_a_tenant_who_comes_late_with_little_does_not_wait_for_one_with_much(store):
    """The issue's measure: 100 items beside 100,000 take at most 1.5 times the turns that they would take alone."""
    add(store, 4_000, tenant="much", canary_items=0)
    running = [take(store, hint) for hint in store.release(4)]
    little = add(store, 40, tenant="little")
    turns = 0
    while not store.status(little).is_ended:
        finish(store, running.pop(0))
        running += [take(store, hint) for hint in store.release(1)]
        turns += 1

    assert turns <= 2 * 10 + 4  # half of the places, and the window that was full when it came
