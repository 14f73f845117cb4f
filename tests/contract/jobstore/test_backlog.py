import pytest
from sqlalchemy import update

from jobstore.backlog import UNMEASURED_S
from jobstore.heartbeats import ALIVE_S
from jobstore.schema import JobState, WorkerId, WorkerRow
from jobstore.tables import shards, workers
from jobstore.views import AutoscaleFigures, Waiting
from tests.fixtures.jobs import ALICE, add, lease_next, ok, queue_of, write

CPU = queue_of("cpu")


def report(store, worker_id=ALICE, *, serves=("cpu",), active=0, state="running") -> bool:
    return store.fleet.heartbeat(WorkerRow(worker_id, "host", 7, serves[0], "cpu", state, serves=serves, active=active))


def test_a_queue_without_workers_says_so(store):
    add(store, 8, hardware=("gpu-sm90",))

    (row,) = store.fleet.queues()

    assert (row.waiting, row.reason) == (Waiting.NO_WORKER, "no worker serves gpu-sm90")
    assert (row.pending, row.queued, row.leased, row.held, row.items_left) == (2, 0, 0, 0, 8)


def test_jobs_of_one_queue_are_added_up(store):
    report(store)
    add(store, 8)
    add(store, 4)
    lease = lease_next(store)
    write(store, lease, [ok(lease.items[0].idx)])

    (row,) = store.fleet.queues()

    assert (row.pending, row.queued, row.leased, row.items_left) == (2, 0, 1, 11)
    assert row.waiting is Waiting.WINDOW_FULL
    assert row.oldest_age_s is not None


def test_queues_of_one_class_only(store):
    add(store, 4)
    add(store, 4, hardware=("gpu-sm90",))

    assert [row.queue for row in store.fleet.queues("cpu")] == [CPU]


def test_seconds_are_items_times_the_measured_speed(store):
    add(store, 8)
    assert store.fleet.queues()[0].backlog_seconds == 8 * UNMEASURED_S

    store.fleet.report_speed(CPU, 2.0)

    assert store.fleet.queues()[0].backlog_seconds == 16.0


def test_a_new_measurement_moves_the_speed_by_a_fifth(store):
    add(store, 10)
    store.fleet.report_speed(CPU, 1.0)

    store.fleet.report_speed(CPU, 6.0)

    assert store.fleet.queues()[0].backlog_seconds == pytest.approx(20.0)


def test_a_class_without_jobs_wants_nothing(store):
    report(store, serves=("gpu-sm90", "gpu-any"))

    assert store.fleet.autoscale("gpu-any") == AutoscaleFigures("gpu-any", 0, 0.0, 0.0, 0, 1)


def test_the_figures_of_a_class(store):
    report(store)
    report(store, WorkerId("bob"), serves=("cpu-amx", "cpu"))
    report(store, WorkerId("gone"), state="draining")
    add(store, 8)
    add(store, 4, hardware=("gpu-sm90",))
    store.fleet.report_speed(CPU, 0.5)
    lease_next(store)

    figures = store.fleet.autoscale("cpu")

    assert (figures.backlog_items, figures.backlog_seconds, figures.active, figures.workers) == (8, 4.0, 1, 2)
    assert figures.oldest_age_seconds >= 0


def test_the_age_of_the_oldest_counts_from_its_birth(store):
    add(store, 4)
    with store._db._writer.begin() as database:
        database.execute(update(shards).values(created=shards.c.created - 100))

    assert store.fleet.autoscale("cpu").oldest_age_seconds == pytest.approx(100, abs=30)


def test_jobs_are_counted_by_state(store):
    add(store, 4)
    store.cancel(add(store, 4))
    store.cancel(add(store, 4))

    assert store.job_counts() == {JobState.RUNNING: 1, JobState.CANCELLED: 2}


def test_a_worker_learns_with_its_heartbeat_that_it_should_leave(store):
    assert report(store) is False

    assert store.fleet.drain_worker(ALICE) is True

    assert report(store) is True
    assert store.fleet.workers()[0].drain is True
    assert store.fleet.autoscale("cpu").workers == 0


def test_a_worker_that_is_not_there_cannot_be_asked_to_leave(store):
    report(store)
    store.fleet.worker_stopped(ALICE)

    assert store.fleet.drain_worker(ALICE) is False
    assert store.fleet.drain_worker(WorkerId("nobody")) is False


def test_a_worker_that_stopped_works_on_nothing_whatever_its_last_report_said(store):
    report(store, active=3)

    store.fleet.worker_stopped(ALICE)

    (row,) = store.fleet.workers()
    assert (row.state, row.active, row.items_per_second) == ("stopped", 0, 0.0)


def test_a_silent_worker_is_not_counted_on(store):
    report(store)
    add(store, 4)
    with store._db._writer.begin() as database:
        database.execute(update(workers).values(heartbeat=workers.c.heartbeat - ALIVE_S - 60))

    assert store.fleet.autoscale("cpu").workers == 0
    assert store.fleet.queues()[0].waiting is Waiting.NO_WORKER


def test_what_a_worker_says_of_itself_is_read_back(store):
    store.fleet.heartbeat(
        WorkerRow(ALICE, "host", 7, "cpu-amx", "cpu", serves=("cpu-amx", "cpu"), active=3, memory_bytes=2**33,
                  stats={"digits": {"batch_fill": 0.9}}, models=("digits",), items_per_second=12.5)
    )  # fmt: skip

    (row,) = store.fleet.workers()

    assert (row.serves, row.active, row.memory_bytes) == (("cpu-amx", "cpu"), 3, 2**33)
    assert (row.stats, row.models, row.items_per_second) == ({"digits": {"batch_fill": 0.9}}, ("digits",), 12.5)
