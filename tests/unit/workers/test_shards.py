"""A shard's way through a worker process, without Celery and with a scripted model."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inference_engine.errors import NoRunnableBackend, ProviderUnavailable
from inference_engine.tasks import read_prediction
from inference_engine.tasks.embedding import Embedding
from jobstore.dispatch import MuteDoorbell
from jobstore.errors import StoreUnavailable
from jobstore.queues import queue_name
from jobstore.schema import DecisionId, JobState, OutcomeState
from tests.fixtures.scripted_worker import MARK
from workers.figures import STAGES
from workers.refill import Refill
from workers.reserve import Reserve
from workers.shards import process_shard


def test_every_item_gets_its_own_answer_whoever_its_neighbours_are(world):
    job_id = world.submit(world.photos(range(50)), shard_size=16)

    ended = world.run_all()

    assert [row.record["value"] for row in world.store.results(job_id)] == list(range(50))
    assert (sum(ended, ()), world.store.status(job_id).state) == ((job_id,), JobState.COMPLETED)


def test_an_array_that_is_too_large_for_a_record_is_kept_beside_it(world):
    def embed(outputs, fits, _):
        return [Embedding(np.full(3, row[0], np.float32), fits[0].original_hw) for row in outputs["out"]]

    world.model.postprocess = embed
    job_id = world.submit(world.photos([5, 6]))

    world.run_all()

    found = [read_prediction(row.record, (), row.blob) for row in world.store.results(job_id)]
    assert [embedding.vector.tolist() for embedding in found] == [[5.0] * 3, [6.0] * 3]


def test_one_image_that_the_model_cannot_take_costs_only_itself(world):
    job_id = world.submit(world.photos([1, 2, MARK, 4, 5, 6, 7, 8]))

    world.run_all()

    states = [row.state for row in world.store.results(job_id)]
    assert states == [OutcomeState.FAILED if i == 2 else OutcomeState.OK for i in range(8)]
    (failure,) = world.store.failures(job_id)
    assert (failure.code, "a poisoned pixel" in failure.message) == ("internal_error", True)


def test_a_second_delivery_of_a_finished_shard_does_nothing(world):
    world.submit(world.photos([1]))
    (hint,) = world.store.release(1)

    assert process_shard(world.runtime, hint)
    assert process_shard(world.runtime, hint) == ()


def test_a_draining_process_gives_back_what_it_has_not_begun(world):
    job_id = world.submit(world.photos(range(6)))
    (hint,) = world.store.release(1)
    world.runtime.draining.set()

    assert process_shard(world.runtime, hint) == ()

    assert (world.store.status(job_id).done, world.store.fleet.queues()[0].pending) == (0, 1)
    world.runtime.draining.clear()
    world.run_all()
    assert world.store.status(job_id).ok == 6


def test_a_cancelled_job_is_dropped_and_no_permit_is_lost(world):
    files = world.photos(range(40))
    job_id = world.submit(files)
    (hint,) = world.store.release(1)
    read = world.runtime.media.read

    class CancellingReader:
        def read(self, uri):
            if uri.endswith("/5.png"):
                world.store.cancel(job_id)
            return read(uri)

    world.runtime = replace(world.runtime, media=CancellingReader())
    assert process_shard(world.runtime, hint) == ()

    status = world.store.status(job_id)
    assert (status.state, status.skipped) == (JobState.CANCELLED, 40)
    assert all(world.runtime.turns.permits.acquire(timeout=1) for _ in range(8))


def test_wrong_parameters_fail_the_job_with_words(world):
    job_id = world.submit(world.photos([1, 2]), params={"confidence": 2})

    assert world.run_all() == [(job_id,)]

    status = world.store.status(job_id)
    assert (status.state, status.reason, status.skipped) == (JobState.FAILED, "parameter_invalid", 2)


def test_a_decision_is_named_by_every_outcome(world):
    class OneDecision:
        def decisions_for(self, leases, loaded):
            return [DecisionId("d1")] * len(leases)

    world.runtime = replace(world.runtime, decisions=OneDecision())
    job_id = world.submit(world.photos([1, 2, 3]))

    world.run_all()

    assert {row.decision_id for row in world.store.results(job_id)} == {"d1"}


def known_to_be_fast(world):
    """The process has measured a thousandth of a second an item."""
    world.runtime.speeds.begin(queue_name("cpu", "m"), 0.0)
    world.runtime.speeds.end(queue_name("cpu", "m"), 1000, 1.0)


def test_small_jobs_are_worked_on_together(world):
    known_to_be_fast(world)
    jobs = [world.submit([file], tenant=f"t{index % 3}") for index, file in enumerate(world.photos(range(6)))]
    (hint,) = world.store.release(1)

    ended = process_shard(world.runtime, hint)

    assert sorted(ended) == sorted(jobs)
    assert [row.record["value"] for job_id in jobs for row in world.store.results(job_id)] == list(range(6))


def test_what_one_of_several_small_jobs_asks_wrongly_costs_the_others_nothing(world):
    known_to_be_fast(world)
    one, two, three = world.photos([1, 2, 3])
    jobs = [world.submit([one]), world.submit([two], params={"unknown": 1}), world.submit([three])]
    (hint,) = world.store.release(1)

    process_shard(world.runtime, hint)

    states = [world.store.state(job_id) for job_id in jobs]
    assert states == [JobState.COMPLETED, JobState.FAILED, JobState.COMPLETED]


def test_small_jobs_whose_session_breaks_are_given_back_together(world):
    known_to_be_fast(world)
    jobs = [world.submit([file]) for file in world.photos([1, 2, 3])]
    world.model.is_broken = True
    (hint,) = world.store.release(1)

    assert process_shard(world.runtime, hint) == ()

    assert [(row.pending, row.queued, row.leased) for row in world.store.fleet.queues()] == [(len(jobs), 0, 0)]


@pytest.mark.parametrize("is_full", [True, False], ids=["every place is taken", "a place is free"])
def test_the_reserved_place_serves_who_comes_while_all_work_for_others(world, is_full):
    files, window = world.photos([1, 2, 3, 4]), 2
    world.submit(files, tenant="large", shard_size=1)
    hint = world.store.release(window)[0]
    world.store.lease_shard(hint.shard_id, hint.attempt, world.runtime.worker_id, 30.0)
    world.store.release(window)
    late = world.submit(files, tenant="late", shard_size=1)
    world.store.release(window)
    refill = Refill(world.store, MuteDoorbell(), window, world.runtime.draining)
    reserve = Reserve(world.runtime, refill, places=1 if is_full else 2)

    with reserve.taking_a_place():
        reserve.look([queue_name("cpu", "m")])
        reserve.close()

    assert world.store.state(late) is (JobState.COMPLETED if is_full else JobState.RUNNING)


def test_a_model_that_does_not_open_on_this_class_goes_on_with_the_next(world):
    world.opener.refuses = NoRunnableBackend("nothing here runs it")
    job_id = world.submit(world.photos([1]), hardware=("cpu", "gpu-any"))

    assert world.run_all() == [()]

    assert world.store.status(job_id).state is JobState.RUNNING
    assert [queue.queue for queue in world.store.fleet.queues()] == ["infer.gpu-any.m"]
    assert sum(queue.leased for queue in world.store.fleet.queues()) == 0


def test_a_model_that_opens_on_no_class_fails_the_job(world):
    world.opener.refuses = NoRunnableBackend("nothing here runs it")
    job_id = world.submit(world.photos([1]))

    assert world.run_all() == [(job_id,)]
    assert world.store.status(job_id).reason == "no_runnable_backend"


def test_a_paused_job_gives_its_shard_back_after_what_is_in_flight(world):
    files = world.photos(range(40))
    job_id = world.submit(files)
    read, paused = world.runtime.media.read, threading.Event()

    class PausingReader:
        def read(self, uri):
            number = int(Path(uri).stem)
            if number == 5:
                world.store.pause(job_id)
                world.runtime.leases.renew()
                paused.set()
            assert number < 5 or paused.wait(20)
            return read(uri)

    world.runtime = replace(world.runtime, media=PausingReader())
    assert world.run_all() == [()]

    status = world.store.status(job_id)
    assert (status.state, 5 < status.ok <= 8, status.failed) == (JobState.PAUSED, True, 0)
    assert sum(queue.leased for queue in world.store.fleet.queues()) == 0
    world.store.resume(job_id)
    world.run_all()
    assert world.store.status(job_id).ok == 40


def test_a_model_whose_provider_is_away_is_waited_for_and_no_item_is_tried(world):
    world.opener.refuses = ProviderUnavailable("models.example does not answer", retry_after_s=60.0)
    job_id = world.submit(world.photos([1, 2]), shard_size=1)

    assert world.run_all() == [(), ()]

    assert world.store.why_waiting(job_id).startswith("the model cannot be opened on cpu: models.example")
    assert (world.model.batches, world.store.status(job_id).done) == ([], 0)
    world.opener.refuses = None
    world.store.pause(job_id)
    world.store.resume(job_id)
    world.run_all()
    assert (world.store.status(job_id).state, world.store.status(job_id).ok) == (JobState.COMPLETED, 2)


def test_a_store_that_is_away_while_a_model_opens_fails_no_job(world):
    world.opener.refuses = StoreUnavailable("the database does not answer")
    job_id = world.submit(world.photos([1]))

    with pytest.raises(StoreUnavailable):
        world.run_all()

    assert world.store.status(job_id).state is JobState.RUNNING


def test_figures_say_where_the_time_goes(world):
    world.submit(world.photos(range(20)))
    loan = world.runtime.models.borrow("m", {})

    world.run_all()

    figures = loan.loaded.figures()
    assert (figures.items, figures.images) == (20, 20)
    assert 0 < figures.batch_fill <= 1
    assert set(figures.stage_ms) == set(STAGES)
    assert all(figures.stage_ms.values())
