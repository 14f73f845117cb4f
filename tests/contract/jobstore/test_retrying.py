import pytest

from jobstore.errors import InvalidJob, JobNotFound, LeaseLost
from jobstore.ids import new_id
from jobstore.schema import ItemRef, JobId, JobSpec, JobState, Outcome, OutcomeState
from tests.fixtures.jobs import (
    BOB,
    LEASE_S,
    add,
    assert_books_balance,
    failed,
    finish,
    lease_next,
    ok,
    queue_of,
    run_to_end,
    write,
)
from videos.options import Clip

FAILED, SKIPPED = OutcomeState.FAILED, OutcomeState.SKIPPED


def ended(store, items=8, broken=(1, 5), code="not_an_image", **spec):
    """A job in shards of four that has ended; `broken` items failed."""
    job_id = add(store, items, **spec)
    while hints := store.release(1):
        lease = store.lease_shard(hints[0].shard_id, hints[0].attempt, BOB, LEASE_S)
        found = [failed(item.idx, code) if item.idx in broken else ok(item.idx) for item in lease.items]
        write(store, lease, found, finished=True)
    return job_id


def test_failed_items_run_again_in_the_same_job_and_nothing_else_does(store):
    job_id = ended(store)

    assert store.retry(job_id) == 2

    job = store.status(job_id)
    assert (job.state, job.finished, job.ok, job.failed, job.pending) == (JobState.RUNNING, None, 6, 0, 2)
    assert_books_balance(store, job_id)
    leases = [lease_next(store), lease_next(store)]
    assert [[item.idx for item in lease.items] for lease in leases] == [[1], [5]]
    assert [(lease.attempt, lease.deaths) for lease in leases] == [(2, 0), (2, 0)]
    assert [finish(store, lease) for lease in leases] == [False, True]
    assert (store.status(job_id).state, store.status(job_id).ok) == (JobState.COMPLETED, 8)
    assert_books_balance(store, job_id)


def test_only_the_named_causes_run_again(store):
    job_id = add(store, 4)
    write(store, lease_next(store), [ok(0), failed(1, "timeout"), failed(2), ok(3)], finished=True)

    assert store.retry(job_id, codes=["timeout"]) == 1

    assert [item.idx for item in lease_next(store).items] == [1]
    assert store.status(job_id).failed == 1
    assert_books_balance(store, job_id)


def test_what_was_skipped_by_a_cancel_is_done_by_a_retry(store):
    job_id = add(store, 12, max_failures=3)
    finish(store, lease_next(store))
    write(store, lease_next(store), [ok(4), failed(5)])
    store.cancel(job_id)

    assert store.retry(job_id, states=[SKIPPED]) == 6

    assert_books_balance(store, job_id)
    run_to_end(store)
    job = store.status(job_id)
    assert (job.state, job.ok, job.failed, job.skipped) == (JobState.COMPLETED_WITH_ERRORS, 11, 1, 0)
    assert_books_balance(store, job_id)


def test_a_job_that_failed_on_every_class_tries_them_again(store):
    job_id = add(store, 4, hardware=("gpu-sm90", "cpu"))
    store.refuse_class(job_id, "gpu-sm90", "no_runnable_backend", "no driver")
    store.refuse_class(job_id, "cpu", "no_runnable_backend", "no memory")

    assert store.retry(job_id, states=[SKIPPED]) == 4

    assert [row.queue for row in store.fleet.queues()] == [queue_of("gpu-sm90")]
    assert (store.status(job_id).reason, store.status(job_id).message) == (None, None)


def test_a_job_whose_time_was_over_runs_without_that_limit(store):
    job_id = add(store, 4, expires=1.0)
    assert store.relay.expire_jobs() == [job_id]

    store.retry(job_id, states=[SKIPPED])

    assert (store.relay.expire_jobs(), store.status(job_id).expires) == ([], None)
    run_to_end(store)
    assert store.status(job_id).state is JobState.COMPLETED


def test_another_batch_size_and_other_hardware_hold_for_what_follows(store):
    job_id = ended(store, hardware=("gpu-sm90",), wishes={"backend": "onnx"})

    store.retry(job_id, batch_size=1, hardware=["cpu"])

    lease = lease_next(store)
    assert (lease.hardware, lease.queue) == ("cpu", queue_of("cpu"))
    assert lease.wishes == {"backend": "onnx", "batch_size": 1}
    assert store.status(job_id).hardware == ("cpu",)


def test_a_shard_that_was_split_runs_again_where_its_items_lie(store):
    """What the first half counted lies in the range of the second."""
    job_id = add(store, 8, shard_size=8)
    lease = lease_next(store)
    write(store, lease, [failed(6), ok(7), ok(0)])
    store.count_death(lease, 1)
    halves = [lease_next(store), lease_next(store)]
    assert [[item.idx for item in half.items] for half in halves] == [[1, 2], [3, 4, 5]]
    first, second = halves
    write(store, second, [ok(3), failed(4), ok(5)], finished=True)
    write(store, first, [ok(1)])

    assert store.retry(job_id) == 2

    assert_books_balance(store, job_id)
    again = lease_next(store)
    assert [item.idx for item in again.items] == [4, 6]
    finish(store, again)
    write(store, first, [ok(2)], finished=True)
    assert (store.status(job_id).state, store.status(job_id).ok) == (JobState.COMPLETED, 8)
    assert_books_balance(store, job_id)


def test_what_a_worker_holds_is_left_to_it(store):
    job_id = add(store, 8)
    held = lease_next(store)
    write(store, held, [failed(0)])
    other = lease_next(store)
    write(store, other, [failed(item.idx) for item in other.items], finished=True)

    assert store.retry(job_id) == 4

    write(store, held, [ok(1), ok(2), ok(3)], finished=True)
    assert store.status(job_id).failed == 1
    assert_books_balance(store, job_id)


def test_a_late_finish_of_the_attempt_before_is_refused(store):
    job_id = add(store, 4)
    lease = lease_next(store)
    outcomes = [failed(item.idx) for item in lease.items]
    write(store, lease, outcomes, finished=True)
    store.retry(job_id)

    with pytest.raises(LeaseLost):
        write(store, lease, outcomes, finished=True)
    assert_books_balance(store, job_id)


def test_a_paused_job_stays_paused_and_a_stopped_one_goes_on(store):
    paused = add(store, 8)
    write(store, lease_next(store), [failed(n) for n in range(4)], finished=True)
    store.pause(paused)
    stopped = add(store, 8, max_failures=0)
    write(store, lease_next(store), [failed(n) for n in range(4)], finished=True)
    assert store.state(stopped) is JobState.NEEDS_ATTENTION

    assert [store.retry(paused), store.retry(stopped)] == [4, 4]

    assert [store.state(paused), store.state(stopped)] == [JobState.PAUSED, JobState.RUNNING]


def test_a_cancelled_canary_comes_first_again(store):
    job_id = add(store, 12, canary_items=4)
    store.cancel(job_id)

    store.retry(job_id, states=[SKIPPED])

    assert store.state(job_id) is JobState.CANARY
    assert [item.idx for item in lease_next(store).items] == [0, 1, 2, 3]
    assert store.release(8) == []


def test_failures_that_stay_do_not_stop_what_runs_again(store):
    job_id = add(store, 8, max_failures=0)
    lease = lease_next(store)
    write(store, lease, [failed(0, "timeout"), failed(1), ok(2), ok(3)], finished=True)
    store.cancel(job_id)

    store.retry(job_id, states=[FAILED, SKIPPED], codes=["timeout", "job_cancelled"])

    store.relay.judge_jobs()
    run_to_end(store)
    assert (store.status(job_id).ok, store.status(job_id).failed) == (7, 1)


def test_a_failed_video_runs_again_from_its_first_frame(store):
    job_id = store.add_job(
        JobSpec("digits"), [ItemRef("/a.mp4", clip=Clip()), ItemRef("/b.mp4", clip=Clip())], queue_of
    )
    one, two = lease_next(store), lease_next(store)
    frames = [Outcome(0, OutcomeState.OK, frame=n, record={"confidence": [0.5, 0.5]}) for n in (1, 2)]
    write(store, one, [*frames, failed(0)], finished=True)
    write(store, two, [Outcome(1, OutcomeState.OK, frame=1, record={"confidence": [0.5]}), ok(1, 0)], finished=True)

    assert store.retry(job_id) == 1

    job = store.status(job_id)
    assert (job.frames, job.objects, job.pending) == (1, 1, 1)
    assert [dict(item.frames) for item in lease_next(store).items] == [{}]


def test_nothing_to_do_changes_nothing(store):
    job_id = ended(store, broken=())

    assert (store.retry(job_id), store.retry(job_id, states=[SKIPPED])) == (0, 0)

    assert store.state(job_id) is JobState.COMPLETED
    assert [event.kind for event in store.events(job_id)].count("retried") == 0


@pytest.mark.parametrize(
    "asked",
    [
        {"states": []},
        {"states": [OutcomeState.OK]},
        {"batch_size": 0},
        {"hardware": ["cpu", "cpu"]},
        {"hardware": ["A!"]},
    ],
    ids=["no state", "what is ok", "no batch", "one class twice", "no class"],
)
def test_what_cannot_be_is_refused_and_changes_nothing(store, asked):
    job_id = ended(store)

    with pytest.raises(InvalidJob):
        store.retry(job_id, **asked)
    assert store.status(job_id).failed == 2


def test_an_unknown_job_cannot_be_retried(store):
    with pytest.raises(JobNotFound):
        store.retry(JobId(new_id()))


def test_the_event_says_what_ran_again_and_how(store):
    job_id = ended(store)
    store.retry(job_id, batch_size=1)

    (event,) = [event for event in store.events(job_id) if event.kind == "retried"]

    assert event.details == {
        "items": 2, "shards": 2, "from": "completed_with_errors", "states": ["failed"], "codes": [], "batch_size": 1,
    }  # fmt: skip
