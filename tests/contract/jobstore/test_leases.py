import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from jobstore.errors import LeaseLost
from jobstore.schema import ItemRef, JobSpec, JobState, Outcome, OutcomeState, Renewal, ShardId
from jobstore.tables import outcomes
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
from videos.options import Clip, VideoOptions


def test_two_deliveries_of_one_hint_give_one_lease(store):
    add(store, 4)
    hint = store.release(1)[0]

    leases = [store.lease_shard(hint.shard_id, hint.attempt, owner, LEASE_S) for owner in (ALICE, ALICE, BOB)]

    assert [lease is not None for lease in leases] == [True, False, False]


def test_a_delivery_after_the_end_gives_no_lease(store):
    add(store, 4)
    hint = store.release(1)[0]
    finish(store, take(store, hint))

    assert store.lease_shard(hint.shard_id, hint.attempt, BOB, LEASE_S) is None


@pytest.mark.parametrize(
    ("shard", "attempt"), [("unknown", 1), (None, 2), (None, 0)], ids=["unknown", "later", "older"]
)
def test_a_hint_of_another_shard_or_attempt_gives_no_lease(store, shard, attempt):
    add(store, 4)
    hint = store.release(1)[0]

    assert store.lease_shard(ShardId(shard or hint.shard_id), attempt, ALICE, LEASE_S) is None


def test_a_lease_says_what_to_do_with_which_items(store):
    job_id = add(store, 6, params={"confidence": 0.4}, wishes={"backend": "onnx"})

    lease = lease_next(store)

    assert (lease.job_id, lease.model, lease.params, lease.wishes) == (
        job_id, "digits", {"confidence": 0.4}, {"backend": "onnx"},
    )  # fmt: skip
    assert [(item.idx, item.uri) for item in lease.items] == [(n, f"/pictures/{n}.png") for n in range(4)]
    assert lease.total == 4


def test_the_first_lease_starts_the_job(store):
    job_id = add(store, 8)
    lease_next(store)
    started = store.status(job_id).started
    lease_next(store)

    assert started is not None
    assert store.status(job_id).started == started
    assert [event.kind for event in store.events(job_id)] == ["submitted", "started"]


def test_counters_move_with_each_flush(store):
    job_id = add(store, 8)
    lease = lease_next(store)
    write(store, lease, [ok(0, objects=3), failed(1)])
    write(store, lease, [Outcome(2, OutcomeState.CACHED, record={"confidence": [0.5]})])

    job = store.status(job_id)

    assert (job.ok, job.failed, job.cached, job.skipped, job.objects, job.pending) == (1, 1, 1, 0, 4, 5)
    assert store.jobs()[0].ok == 1
    assert store.fleet.queues()[0].items_left == 5
    assert_books_balance(store, job_id)


def test_the_last_shard_completes_the_job(store):
    job_id = add(store, 8)

    ended = [finish(store, lease_next(store)), finish(store, lease_next(store))]

    job = store.status(job_id)
    assert ended == [False, True]
    assert (job.state, job.ok, job.reason) == (JobState.COMPLETED, 8, None)
    assert job.created <= job.started <= job.finished <= job.now
    assert [event.kind for event in store.events(job_id)] == ["submitted", "started", "completed"]
    assert_books_balance(store, job_id)


def test_a_job_with_a_failed_item_completes_with_errors(store):
    job_id = add(store, 1)

    assert write(store, lease_next(store), [failed(0)], finished=True) is True
    assert store.status(job_id).state is JobState.COMPLETED_WITH_ERRORS
    assert_books_balance(store, job_id)


def test_the_zombies_late_flush_is_refused(store):
    job_id = add(store, 4)
    zombie = lease_next(store, ALICE, OVER_S)
    store.relay.expire_leases(3)
    heir = lease_next(store, BOB)

    with pytest.raises(LeaseLost, match="we hold attempt 1"):
        write(store, zombie, [ok(0)])
    with pytest.raises(LeaseLost):
        finish(store, zombie)

    assert store.result_count(job_id) == 0
    assert finish(store, heir) is True
    assert_books_balance(store, job_id)


def test_a_zombie_that_wakes_after_the_end_changes_nothing(store):
    job_id = add(store, 4)
    zombie = lease_next(store, ALICE, OVER_S)
    store.relay.expire_leases(3)
    finish(store, lease_next(store, BOB))

    with pytest.raises(LeaseLost):
        write(store, zombie, [failed(0)], finished=True)

    assert store.status(job_id).ok == 4
    assert_books_balance(store, job_id)


def test_a_restart_skips_items_that_have_outcomes(store):
    job_id = add(store, 4)
    lease = lease_next(store, ALICE, OVER_S)
    store.record(lease, [ok(0), ok(2)], decision_id=None, lease_s=OVER_S, finished=False)
    store.relay.expire_leases(3)

    heir = lease_next(store, BOB)

    assert [item.idx for item in heir.items] == [1, 3]
    assert (heir.attempt, heir.total) == (2, 4)
    assert finish(store, heir) is True
    assert [row.attempt for row in store.results(job_id)] == [1, 2, 1, 2]
    assert_books_balance(store, job_id)


def test_a_shard_with_nothing_left_is_finished_by_its_lease(store):
    job_id = add(store, 4)
    lease = lease_next(store, ALICE, OVER_S)
    store.record(lease, [ok(n) for n in range(4)], decision_id=None, lease_s=OVER_S, finished=False)
    store.relay.expire_leases(3)
    hint = store.release(1)[0]

    assert store.lease_shard(hint.shard_id, hint.attempt, BOB, LEASE_S) is None
    assert store.status(job_id).state is JobState.COMPLETED
    assert_books_balance(store, job_id)


def test_an_outcome_that_comes_twice_is_written_and_counted_once(store):
    job_id = add(store, 4)
    lease = lease_next(store)

    write(store, lease, [ok(0, objects=2)])
    write(store, lease, [failed(0), ok(1), ok(1)])

    job = store.status(job_id)
    assert (job.ok, job.failed, job.objects) == (2, 0, 3)
    assert_books_balance(store, job_id)


def test_frames_of_a_video_are_rows_but_one_item(store):
    job_id = add(store, 1)
    frames = [Outcome(0, OutcomeState.OK, frame=n, record={"confidence": [0.5]}) for n in range(5)]

    assert write(store, lease_next(store), frames, finished=True) is True

    job = store.status(job_id)
    assert (job.ok, job.frames, job.objects, store.result_count(job_id)) == (1, 4, 5, 5)


def test_parts_of_videos_are_shards_of_their_own_so_that_workers_share_them(store):
    parts = [ItemRef("/a.mp4", clip=Clip(float(n), float(n + 1))) for n in range(3)]

    store.add_job(JobSpec("digits"), parts, queue_of)

    assert len(store.release(100)) == 3


def test_a_lease_tells_the_part_the_sampling_and_the_frames_that_are_done(store):
    video = VideoOptions(fps=2, segment_s=4)
    refs = [ItemRef("/a.mp4", clip=Clip(0.0, 4.0)), ItemRef("/a.mp4", clip=Clip(4.0)), ItemRef("/b.png")]
    job_id = store.add_job(JobSpec("digits", video=video), refs, queue_of)
    first = lease_next(store)
    write(
        store, first, [Outcome(1, OutcomeState.OK, frame=7, timestamp_s=4.5), Outcome(1, OutcomeState.FAILED, frame=9)]
    )
    store.release_shard(first)

    again = lease_next(store)

    assert [item.clip for item in again.items] == [Clip(0.0, 4.0), Clip(4.0), None]
    assert [item.frames for item in again.items] == [{}, {7: OutcomeState.OK, 9: OutcomeState.FAILED}, {}]
    assert again.video == video
    found = [(row.frame, row.timestamp_s, row.clip, row.holds_prediction) for row in store.results(job_id)]
    assert found == [(7, 4.5, Clip(4.0), True), (9, None, Clip(4.0), False)]


def test_a_shard_cannot_finish_with_items_left(store):
    job_id = add(store, 4)
    lease = lease_next(store)

    with pytest.raises(ValueError, match="3 of 4 items have an outcome"):
        write(store, lease, [ok(0), ok(1), ok(2)], finished=True)

    assert store.result_count(job_id) == 0
    assert finish(store, lease) is True


def test_an_outcome_for_another_shards_item_is_refused(store):
    job_id = add(store, 8)

    with pytest.raises(ValueError, match="has 0 to 3"):
        write(store, lease_next(store), [ok(4)])
    assert store.result_count(job_id) == 0


def test_renewing_says_what_is_still_ours(store):
    add(store, 8)
    kept, lost = lease_next(store), lease_next(store, ALICE, OVER_S)
    store.relay.expire_leases(3)

    held = [(kept.shard_id, kept.attempt), (lost.shard_id, lost.attempt)]

    assert store.renew(ALICE, held, LEASE_S).kept == {kept.shard_id}
    assert store.renew(BOB, held, LEASE_S) == Renewal()
    assert store.renew(ALICE, [], LEASE_S) == Renewal()


def test_a_renewed_lease_does_not_expire(store):
    add(store, 4)
    lease = lease_next(store, ALICE, OVER_S)
    store.renew(ALICE, [(lease.shard_id, lease.attempt)], LEASE_S)

    assert store.relay.expire_leases(3) == 0


def test_a_flush_keeps_the_lease_alive(store):
    add(store, 4)
    lease = lease_next(store, ALICE, OVER_S)
    write(store, lease, [ok(0)])

    assert store.relay.expire_leases(3) == 0


def test_a_shard_given_back_runs_again_at_once(store):
    job_id = add(store, 4)
    lease = lease_next(store)
    write(store, lease, [ok(0)])

    assert store.release_shard(lease) is True
    assert store.release_shard(lease) is False
    assert [item.idx for item in lease_next(store, BOB).items] == [1, 2, 3]
    with pytest.raises(LeaseLost):
        write(store, lease, [ok(1)])
    assert_books_balance(store, job_id)


def test_error_texts_of_any_kind_can_be_stored(store):
    job_id = add(store, 1)
    write(store, lease_next(store), [failed(0, message="nul \0, half a pair \ud800, Å")], finished=True)

    assert [row.error.message for row in store.results(job_id)] == ["nul \\0, half a pair \\ud800, Å"]


def test_records_and_blobs_come_back_as_they_were(store):
    job_id = add(store, 1)
    outcome = Outcome(
        0, OutcomeState.OK, record={"text": "a\0b", "xyxy": [[0.1, 1e-9]]}, blob=b"\0\xff", timings_ms={"decode": 1.5}
    )
    write(store, lease_next(store), [outcome], finished=True)

    row = next(iter(store.results(job_id)))
    assert (row.record, row.blob, row.timings_ms) == (outcome.record, outcome.blob, outcome.timings_ms)
    assert (row.uri, row.error, row.metadata) == ("/pictures/0.png", None, None)


def test_everything_that_was_submitted_is_done_in_the_end(store):
    ids = [add(store, items) for items in (1, 4, 5, 33)]

    run_to_end(store)

    assert [store.status(job_id).state for job_id in ids] == [JobState.COMPLETED] * 4
    for job_id in ids:
        assert_books_balance(store, job_id)


def test_the_database_itself_refuses_a_second_outcome_of_an_item(store):
    job_id = add(store, 1)
    finish(store, lease_next(store))
    again = insert(outcomes).values(job_id=job_id, idx=0, frame=0, state=OutcomeState.OK, attempt=2, created=0.0)

    with pytest.raises(IntegrityError):
        store._db.write(lambda db: db.execute(again))
