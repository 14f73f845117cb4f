import logging

import pytest
from sqlalchemy import update

from jobstore.connection import WRITES, make_engine
from jobstore.errors import JobNotFound, LeaseLost
from jobstore.schema import JobId, JobState, OutcomeState, Renewal
from jobstore.tables import jobs
from tests.fixtures.jobs import LEASE_S, add, assert_books_balance, failed, finish, lease_next, ok, write


def test_cancel_fences_off_the_running_worker_and_skips_the_rest(store):
    job_id = add(store, 12)
    finish(store, lease_next(store))
    running = lease_next(store)
    write(store, running, [ok(4), failed(5)])

    assert store.cancel(job_id) is True

    job = store.status(job_id)
    assert (job.state, job.reason) == (JobState.CANCELLED, "cancelled")
    assert (job.ok, job.failed, job.skipped, job.pending) == (5, 1, 6, 0)
    with pytest.raises(LeaseLost):
        write(store, running, [ok(6)])
    assert store.renew(running.owner, [(running.shard_id, running.attempt)], LEASE_S) == Renewal()
    assert_books_balance(store, job_id)


def test_skipped_items_say_why(store):
    cancelled, broken = add(store, 1), add(store, 1)
    store.cancel(cancelled)
    store.fail_job(broken, "no_runnable_backend", "onnx: not installed")

    rows = [next(iter(store.results(job_id))) for job_id in (cancelled, broken)]

    assert [row.state for row in rows] == [OutcomeState.SKIPPED] * 2
    assert [row.error.code for row in rows] == ["job_cancelled", "job_failed"]
    assert rows[1].error.message == "onnx: not installed"


def test_a_failed_job_keeps_its_code_and_its_words(store):
    job_id = add(store, 8)

    assert store.fail_job(job_id, "no_runnable_backend", "onnx: not installed") is True

    job = store.status(job_id)
    assert (job.state, job.reason, job.skipped) == (JobState.FAILED, "no_runnable_backend", 8)
    assert store.events(job_id)[-1].details == {
        "code": "no_runnable_backend", "message": "onnx: not installed", "skipped": 8,
    }  # fmt: skip
    assert_books_balance(store, job_id)


def test_an_ended_job_cannot_be_ended_again(store):
    completed, cancelled = add(store, 4), add(store, 4)
    finish(store, lease_next(store))
    store.cancel(cancelled)

    assert [store.cancel(completed), store.cancel(cancelled), store.fail_job(cancelled, "x", "y")] == [False] * 3
    assert store.status(completed).state is JobState.COMPLETED


def test_ending_a_job_that_does_not_exist_says_so(store):
    with pytest.raises(JobNotFound, match="nightshift jobs"):
        store.cancel(JobId("none"))
    with pytest.raises(JobNotFound):
        store.status(JobId("none"))


def test_nothing_of_a_cancelled_job_is_released_or_leased(store):
    job_id = add(store, 8)
    hint = store.release(1)[0]
    store.cancel(job_id)

    assert store.release(8) == []
    assert [store.lease_shard(hint.shard_id, attempt, "bob", LEASE_S) for attempt in (1, 2)] == [None, None]
    assert store.fleet.queues_with_work(["cpu"]) == []


def test_books_that_do_not_balance_fail_the_job_loudly(store, database_url, caplog):
    job_id = add(store, 4)
    lease = lease_next(store)
    engine = make_engine(database_url).execution_options(**{WRITES: True})
    with engine.begin() as connection:
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(total=9))
    engine.dispose()

    with caplog.at_level(logging.CRITICAL):
        assert finish(store, lease) is True

    job = store.status(job_id)
    assert (job.state, job.reason) == (JobState.FAILED, "books_do_not_balance")
    assert "ended with 4 outcomes for 9 items" in caplog.text
