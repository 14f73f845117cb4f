import pytest

from jobstore.schema import DecisionRow, Outcome, OutcomeState, WorkerId, WorkerRow
from tests.fixtures.jobs import ALICE, LEASE_S, add, failed, finish, lease_next, ok, write


def decision(job_id, **changes):
    values = {
        "job_id": job_id,
        "worker_id": ALICE,
        "model_id": "digits",
        "package_id": "onnx-fp32",
        "package_digest": "sha256:1",
        "backend": "onnx",
        "device": "cpu",
        "quantization": "fp32",
        "max_batch_size": 8,
        "strategy": "measured",
        "task": "object-detection",
        "class_names": ("zero", "one"),
        "candidates": ({"package": "trt", "reasons": ["no_gpu"]},),
        "versions": {"python": "3.11"},
        "machine": {"cores": 2},
        "load_ms": 12.5,
    }
    return DecisionRow(**(values | changes))


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 8, 100])
def test_pages_of_any_size_give_every_result_once_in_order(store, batch):
    job_id = add(store, 7, shard_size=7)
    frames = [Outcome(3, OutcomeState.OK, frame=n) for n in (1, 2)]
    write(store, lease_next(store), [ok(n) for n in range(7)] + frames, finished=True)

    found = [(row.idx, row.frame) for row in store.results(job_id, batch=batch)]

    assert found == [(0, 0), (1, 0), (2, 0), (3, 0), (3, 1), (3, 2), (4, 0), (5, 0), (6, 0)]


def test_results_can_be_read_while_the_job_runs_and_is_written(store):
    job_id = add(store, 8)
    finish(store, lease_next(store))
    rows = store.results(job_id, batch=2)
    first = next(rows)

    finish(store, lease_next(store))

    assert [first.idx, *(row.idx for row in rows)] == list(range(8))


def test_results_of_one_state_only(store):
    job_id = add(store, 4)
    write(store, lease_next(store), [ok(0), failed(1), ok(2), failed(3)], finished=True)

    assert [row.idx for row in store.results(job_id, states=[OutcomeState.FAILED], batch=1)] == [1, 3]
    assert store.result_count(job_id) == 4
    assert store.result_count(job_id, states=[OutcomeState.FAILED, OutcomeState.SKIPPED]) == 2


def test_failures_are_grouped_by_cause(store):
    job_id = add(store, 8, shard_size=8)
    causes = ["image_empty"] * 5 + ["not_an_image"]
    outcomes = [failed(n, code, f"words {n}") for n, code in enumerate(causes)]
    write(store, lease_next(store), [*outcomes, ok(6), ok(7)], finished=True)

    first, second = store.failures(job_id)

    assert (first.code, first.count, first.message) == ("image_empty", 5, "words 0")
    assert first.examples == ("/pictures/0.png", "/pictures/1.png", "/pictures/2.png")
    assert (second.code, second.count, second.examples) == ("not_an_image", 1, ("/pictures/5.png",))


def test_a_decision_comes_back_as_it_was_and_names_the_jobs_task(store):
    job_id = add(store, 4)

    first = store.add_decision(decision(job_id))
    store.add_decision(decision(job_id, worker_id=WorkerId("bob"), task="other", package_digest="sha256:2"))

    rows = store.decisions(job_id)
    assert decision(job_id, created=rows[0].created, decision_id=first) == rows[0]
    assert [row.worker_id for row in rows] == ["alice", "bob"]
    job = store.status(job_id)
    assert (job.task, job.class_names, job.model_digest) == ("object-detection", ("zero", "one"), "sha256:1")


def test_results_name_the_decision_that_they_ran_under(store):
    job_id = add(store, 1)
    decision_id = store.add_decision(decision(job_id))
    lease = lease_next(store)
    store.record(lease, [ok(0)], decision_id=decision_id, lease_s=LEASE_S, finished=True)

    assert [row.decision_id for row in store.results(job_id)] == [decision_id]


def test_a_worker_is_one_row_however_often_it_reports(store):
    store.fleet.heartbeat(WorkerRow(ALICE, "host", 7, "cpu", "cpu:0"))
    before = store.fleet.workers()[0]
    store.fleet.heartbeat(
        WorkerRow(ALICE, "host", 7, "cpu", "cpu:0", queues=("q",), models=("m",), items_per_second=2.5)
    )

    [worker] = store.fleet.workers()

    assert (worker.queues, worker.models, worker.items_per_second) == (("q",), ("m",), 2.5)
    assert worker.started == before.started
    assert worker.heartbeat >= before.heartbeat
    assert worker.state == "running"
    assert abs(worker.age_s) < 60


def test_a_silent_worker_is_lost_and_a_stopped_one_is_not(store):
    for worker in ("alice", "bob"):
        store.fleet.heartbeat(WorkerRow(WorkerId(worker), "host", 7, "cpu", "cpu:0"))
    store.fleet.worker_stopped(WorkerId("bob"))

    assert {row.worker_id: row.state for row in store.fleet.workers(max_age_s=-1.0)} == {
        "alice": "lost",
        "bob": "stopped",
    }
