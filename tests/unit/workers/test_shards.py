"""A shard's way through a worker process, without Celery and with a scripted model."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pytest

from inference_engine.batching import BatchPolicy, MicroBatcher
from inference_engine.errors import ParameterInvalid
from inference_engine.images import Fit
from inference_engine.opencv import import_cv2
from inference_engine.sniff import ImageLimits
from inference_engine.tasks import read_prediction
from inference_engine.tasks.embedding import Embedding
from jobstore.ids import new_id
from jobstore.queues import queue_name
from jobstore.schema import DecisionId, ItemRef, JobSpec, JobState, OutcomeState, WorkerId, WorkerRow
from jobstore.store import JobStore
from workers.leases import LeaseBook
from workers.media import FileReader
from workers.models import LoadedModel, ModelPool
from workers.shards import Runtime, process_shard

MARK = 200


@dataclass
class Prediction:
    value: int

    def to_record(self):
        return {"value": self.value}


class ScriptedModel:
    """Sees the first pixel of an image; raises where it is `MARK`."""

    def __init__(self):
        self.batches = []

    def preprocess(self, image, params=None):
        return {"images": image[None, :1, :1, :1].copy()}, Fit((1.0, 1.0), (0, 0), image.shape[:2])

    def forward(self, tensors):
        self.batches.append(len(tensors["images"]))
        if (tensors["images"] == MARK).any():
            raise RuntimeError("a poisoned pixel")
        return {"out": tensors["images"].reshape(-1, 1)}

    def postprocess(self, outputs, fits, params):
        return [Prediction(int(row[0])) for row in outputs["out"]]

    def check_params(self, given):
        if given:
            raise ParameterInvalid("this model takes nothing")

    def close(self):
        pass


class FixedDecision:
    def decision_for(self, lease, loaded):
        return None


@dataclass
class World:
    store: JobStore
    runtime: Runtime
    model: ScriptedModel
    folder: object

    def photos(self, values):
        cv2 = import_cv2()
        files = []
        for index, value in enumerate(values):
            file = self.folder / f"{index}.png"
            cv2.imwrite(str(file), np.full((4, 4, 3), value, np.uint8))
            files.append(file)
        return files

    def submit(self, files, **options):
        spec = JobSpec(model="m", **options)
        return self.store.add_job(spec, [ItemRef(str(f)) for f in files], lambda hardware: queue_name(hardware, "m"))

    def run_all(self):
        return [process_shard(self.runtime, hint) for hint in self.store.release(100)]


@pytest.fixture(params=[1, 4], ids=["one image a run", "batches of four"])
def world(request, tmp_path):
    store = JobStore.open(f"sqlite:///{tmp_path}/jobs.db")
    store.create_schema()
    worker = WorkerId(new_id())
    store.heartbeat(WorkerRow(worker, "here", 1, "cpu", "cpu"))
    model = ScriptedModel()
    batcher = MicroBatcher(model.forward, BatchPolicy(request.param, 0.005, 2))
    loaded = LoadedModel(model, batcher, 0.0)
    with ThreadPoolExecutor(2) as decoders, ThreadPoolExecutor(1) as finishers:
        runtime = Runtime(
            worker_id=worker,
            store=store,
            models=ModelPool(lambda *_: loaded),
            media=FileReader(),
            limits=ImageLimits(),
            leases=LeaseBook(store, worker, 30.0),
            decisions=FixedDecision(),
            decoders=decoders,
            finishers=finishers,
            runners=2,
            in_flight=threading.Semaphore(8),
            lease_s=30.0,
        )
        yield World(store, runtime, model, tmp_path)
        batcher.close()
    store.close()


def test_every_item_gets_its_own_answer_whoever_its_neighbours_are(world):
    job_id = world.submit(world.photos(range(50)), shard_size=16)

    ended = world.run_all()

    assert [row.record["value"] for row in world.store.results(job_id)] == list(range(50))
    assert (ended[-1], world.store.status(job_id).state) == (job_id, JobState.COMPLETED)


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

    assert process_shard(world.runtime, hint) is not None
    assert process_shard(world.runtime, hint) is None


def test_a_draining_process_gives_back_what_it_has_not_begun(world):
    job_id = world.submit(world.photos(range(6)))
    (hint,) = world.store.release(1)
    world.runtime.draining.set()

    assert process_shard(world.runtime, hint) is None

    assert (world.store.status(job_id).done, world.store.queues()[0].pending) == (0, 1)
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
    assert process_shard(world.runtime, hint) is None

    status = world.store.status(job_id)
    assert (status.state, status.skipped) == (JobState.CANCELLED, 40)
    assert all(world.runtime.in_flight.acquire(timeout=1) for _ in range(8))


def test_wrong_parameters_fail_the_job_with_words(world):
    job_id = world.submit(world.photos([1, 2]), params={"confidence": 2})

    assert world.run_all() == [job_id]

    status = world.store.status(job_id)
    assert (status.state, status.reason, status.skipped) == (JobState.FAILED, "parameter_invalid", 2)


def test_a_decision_is_named_by_every_outcome(world):
    class OneDecision:
        def decision_for(self, lease, loaded):
            return DecisionId("d1")

    world.runtime = replace(world.runtime, decisions=OneDecision())
    job_id = world.submit(world.photos([1, 2, 3]))

    world.run_all()

    assert {row.decision_id for row in world.store.results(job_id)} == {"d1"}
