"""Small shards that are taken beside another one and ended together."""

import pytest

from jobstore.errors import LeaseLost
from jobstore.schema import ItemRef, JobSpec, JobState, ShardEnd
from tests.fixtures.jobs import ALICE, BOB, LEASE_S, OVER_S, add, assert_books_balance, ok, queue_of, take
from videos.options import Clip


def first_of(store, window=1, owner=ALICE, lease_s=LEASE_S):
    return take(store, store.release(window)[0], owner, lease_s)


def end(lease):
    return ShardEnd(lease, tuple(ok(item.idx) for item in lease.items), None)


def beside(store, first, most=100):
    return [lease.job_id for lease in store.lease_beside(first, most, LEASE_S)]


def test_small_shards_behind_the_window_come_along_up_to_so_many_items(store):
    jobs = [add(store, 2, tenant=f"t{number}") for number in range(6)]
    first = first_of(store)

    taken = store.lease_beside(first, 7, LEASE_S)

    assert [lease.job_id for lease in taken] == jobs[1:4]
    assert [[item.uri for item in lease.items] for lease in taken] == [["/pictures/0.png", "/pictures/1.png"]] * 3
    assert {(lease.owner, lease.queue) for lease in taken} == {(first.owner, first.queue)}


def test_tenants_share_what_comes_along(store):
    for tenant in ("a", "a", "a", "a", "b", "b"):
        add(store, 1, tenant=tenant)
    first = first_of(store)

    taken = store.lease_beside(first, 3, LEASE_S)

    assert [lease.tenant for lease in taken] == ["b", "a", "b"]


def test_what_stands_in_the_window_keeps_its_hint(store):
    for _ in range(4):
        add(store, 1)
    hints = store.release(3)
    first = take(store, hints[0])

    assert len(beside(store, first)) == 1
    assert [take(store, hint, BOB).shard_id for hint in hints[1:]] == [hint.shard_id for hint in hints[1:]]


def test_with_nothing_behind_it_half_of_the_window_comes_along(store):
    for _ in range(6):
        add(store, 1)
    hints = store.release(6)
    first = take(store, hints[0])

    taken = store.lease_beside(first, 100, LEASE_S)

    assert [lease.shard_id for lease in taken] == [hint.shard_id for hint in hints[1:4]]
    late = [store.lease_shard(hint.shard_id, hint.attempt, BOB, LEASE_S) for hint in hints[1:4]]
    assert late == [None] * 3
    assert [take(store, hint, BOB).shard_id for hint in hints[4:]] == [hint.shard_id for hint in hints[4:]]


def test_what_stands_behind_it_for_another_model_does_not_keep_the_window_waiting(store):
    add(store, 1)
    add(store, 1)
    first = take(store, store.release(2)[0])
    add(store, 1, wishes={"backend": "onnx"})

    assert len(beside(store, first)) == 1


@pytest.mark.parametrize(
    "other",
    [{"wishes": {"backend": "onnx"}}, {"model": "letters"}, {"hardware": ("gpu-sm90",)}, {"priority": -1}],
    ids=["wants another backend", "has another model", "waits for another class", "is less urgent"],
)
def test_a_job_that_differs_needs_a_hint_of_its_own(store, other):
    add(store, 1, priority=0)
    first = first_of(store)
    add(store, 1, **other)

    assert beside(store, first) == []


def test_a_shard_that_somebody_began_needs_a_hint_of_its_own(store):
    add(store, 1)
    first = first_of(store)
    add(store, 1)
    store.release_shard(first_of(store, owner=BOB))

    assert beside(store, first) == []


def test_a_video_needs_a_hint_of_its_own(store):
    add(store, 1)
    first = first_of(store)
    store.add_job(JobSpec("digits"), [ItemRef("/film.mp4", clip=Clip(0.0, None))], queue_of)

    assert beside(store, first) == []


def test_a_paused_jobs_shard_does_not_come_along(store):
    add(store, 1)
    first = first_of(store)
    store.pause(add(store, 1))

    assert beside(store, first) == []


def test_shards_that_end_together_end_their_jobs(store):
    jobs = [add(store, 1), add(store, 1), add(store, 8)]
    first = first_of(store)
    leases = [first, *store.lease_beside(first, 100, LEASE_S)]

    answers = store.record_all([end(lease) for lease in leases], lease_s=LEASE_S)

    assert [lease.job_id for lease in leases] == [*jobs, jobs[2]]
    assert answers == [True, True, True, True]
    for job_id in jobs:
        assert store.state(job_id) is JobState.COMPLETED
        assert_books_balance(store, job_id)


def test_a_lost_lease_among_them_costs_the_others_nothing(store):
    jobs = [add(store, 1), add(store, 1)]
    lost = first_of(store, lease_s=OVER_S)
    (kept,) = store.lease_beside(lost, 100, LEASE_S)
    store.relay.expire_leases(3)

    answers = store.record_all([end(lost), end(kept)], lease_s=LEASE_S)

    assert isinstance(answers[0], LeaseLost)
    assert answers[1] is True
    assert (store.status(jobs[0]).done, store.status(jobs[1]).done) == (0, 1)


def test_one_shard_that_is_not_done_undoes_the_whole_call(store):
    jobs = [add(store, 1), add(store, 1)]
    first = first_of(store)
    (second,) = store.lease_beside(first, 100, LEASE_S)

    with pytest.raises(ValueError, match="cannot finish"):
        store.record_all([end(first), ShardEnd(second, (), None)], lease_s=LEASE_S)

    assert [store.status(job_id).done for job_id in jobs] == [0, 0]


def test_a_newcomer_is_a_tenant_with_nothing_in_work(store):
    add(store, 40, tenant="large")
    hints = store.release(4)
    take(store, hints[0])
    assert store.newcomer([queue_of("cpu")]) is None
    late = add(store, 8, tenant="late")
    store.release(4)

    hint = store.newcomer([queue_of("cpu")])

    assert take(store, hint).job_id == late
    assert store.newcomer([queue_of("cpu")]) is None
    assert store.newcomer([queue_of("gpu-sm90")]) is None
