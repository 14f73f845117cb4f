"""A hint is a doorbell: which shard it is worth is decided when it rings."""

from tests.fixtures.jobs import ALICE, BOB, LEASE_S, add, assert_books_balance, queue_of, run_to_end, take


def ring(store, hint, owner=ALICE):
    return store.lease_shard(hint.shard_id, hint.attempt, owner, LEASE_S)


def states(store):
    return [(row.pending, row.queued, row.leased) for row in store.fleet.queues()]


def test_a_hint_of_a_large_job_serves_the_tenant_who_has_nothing_in_work(store):
    add(store, 400, tenant="large")
    hints = store.release(8)
    take(store, hints[0])
    late = add(store, 4, tenant="late")
    store.release(8)

    assert take(store, hints[1]).job_id == late


def test_a_full_window_has_a_place_for_a_job_that_has_none_in_it(store):
    add(store, 400)
    store.release(4)
    late = add(store, 40)

    first = store.release(4)

    assert len(first) == 1
    assert store.release(4) == []
    assert take(store, first[0]).job_id == late


def test_newcomers_fill_a_second_window_and_no_more(store):
    add(store, 400)
    store.release(3)
    for _ in range(9):
        add(store, 4)

    store.release(3)

    assert len(store.release(3)) <= 3
    assert states(store)[0][1] <= 6


def test_the_hinted_shard_waits_for_another_hint_when_a_better_one_was_taken(store):
    large, late = add(store, 8, tenant="large"), None
    hints = store.release(8)
    take(store, hints[0])
    late = add(store, 4, tenant="late")
    own = store.release(8)[0]

    take(store, hints[1])

    assert states(store) == [(1, 0, 2)]
    assert ring(store, own, BOB) is None
    again = store.release(8)
    assert [hint.shard_id for hint in again] == [hints[1].shard_id]
    assert take(store, again[0], BOB).job_id == large
    assert ring(store, hints[1], BOB) is None
    assert_books_balance(store, late)


def test_a_doubled_hint_takes_no_other_shard(store):
    add(store, 40)
    hints = store.release(4)

    leases = [ring(store, hints[0]) for _ in range(3)]

    assert [lease is not None for lease in leases] == [True, False, False]


def test_among_equals_the_hinted_shard_is_taken(store):
    add(store, 40)
    hints = store.release(4)

    assert [take(store, hint).shard_id for hint in reversed(hints)] == [hint.shard_id for hint in reversed(hints)]


def test_a_hint_serves_its_own_queue_only(store):
    add(store, 8, tenant="busy")
    here = store.release(4, queue_of("cpu"))
    take(store, here[0])
    add(store, 8, tenant="idle", hardware=("gpu-sm90",))
    store.release(4)

    assert take(store, here[1]).queue == queue_of("cpu")


def test_a_paused_jobs_shard_is_not_taken_by_the_hint_of_another(store):
    add(store, 8, tenant="large")
    hints = store.release(4)
    take(store, hints[0])
    late = add(store, 4, tenant="late")
    store.release(4)
    store.pause(late)

    assert take(store, hints[1]).shard_id == hints[1].shard_id


def test_everything_ends_whatever_order_hints_come_in(store):
    ids = [add(store, items, tenant=tenant) for items, tenant in ((40, "a"), (4, "b"), (12, "c"), (4, "a"))]

    run_to_end(store)

    for job_id in ids:
        assert store.status(job_id).is_ended
        assert_books_balance(store, job_id)
