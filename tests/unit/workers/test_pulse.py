"""What a worker process tells the store of itself, and what it is told in return."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from sqlalchemy import delete, update

from inference_engine.batching import BatchPolicy, MicroBatcher
from inference_engine.sniff import ImageLimits
from inference_engine.testing import ScriptedSession
from jobstore.ids import new_id
from jobstore.schema import ModelBuild, WorkerId
from jobstore.store import JobStore
from jobstore.tables import machines, workers
from workers.leases import LeaseBook
from workers.media import FileReader
from workers.models import ModelPool
from workers.opening import LoadedModel
from workers.placement import Slot
from workers.pulse import Pulse
from workers.shards import Runtime

PATIENCE_S = 20
BUILD = ModelBuild("d1", "trt", "fp16")


class CrampedOpener:
    """Opens a model whose device holds three images, with batches as large as the fleet has learned."""

    def __init__(self, learned):
        self._learned = learned
        self.session = ScriptedSession(np.zeros((1, 4), np.float32), input_hw=(4, 4), fits=3)

    def plan(self, reference, wishes, samples):
        return SimpleNamespace(weights_bytes=0)

    def open(self, plan):
        size = self._learned(BUILD) or 8
        batcher = MicroBatcher(self.session.run, BatchPolicy(size, max_wait_s=10))
        chosen = SimpleNamespace(backend=BUILD.backend, quantization=BUILD.quantization)
        model = SimpleNamespace(
            package=SimpleNamespace(digest=BUILD.digest, model_id="m"),
            decision=SimpleNamespace(chosen=chosen),
            close=self.session.close,
        )
        return LoadedModel(model, batcher, 0.0)


@pytest.fixture
def start(tmp_path):
    """Make a process: its runtime and its pulse."""
    store = JobStore.open(f"sqlite:///{tmp_path}/jobs.db")
    store.create_schema()
    made = []

    def make(**options):
        worker = WorkerId(new_id())
        opener = CrampedOpener(lambda build: store.fleet.learned_batch(build, "gpu-sm90"))
        runtime = Runtime(
            worker_id=worker,
            store=store,
            models=ModelPool(opener),
            media=FileReader(),
            limits=ImageLimits(),
            leases=LeaseBook(store, worker, 30.0),
            decisions=None,
            turns=None,
            finishers=None,
            lease_s=30.0,
        )
        made.append(runtime)
        defaults = {"consumed": lambda: {"infer.gpu-any.m"}, "drain": runtime.draining.set}
        pulse = Pulse(runtime, Slot("gpu-sm90", "cuda:0", (0,), 0), 1.0, **{**defaults, **options})
        return runtime, pulse, opener.session

    yield make
    for runtime in made:
        runtime.models.close()
    store.close()


def fill(loaded, images):
    """Run so many images, joined as the batcher joins them."""
    tensors = {"images": np.zeros((1, 3, 4, 4), np.float32)}
    with ThreadPoolExecutor(images) as threads:
        futures = list(threads.map(lambda _: loaded.batcher.submit(tensors), range(images)))
    assert all(future.result(PATIENCE_S) for future in futures)


def test_a_batch_that_did_not_fit_is_learned_by_the_whole_fleet(start):
    runtime, pulse, session = start()
    fill(runtime.models.borrow("m", {}).loaded, 8)
    assert session.batch_sizes[:2] == [8, 4]

    pulse.beat()

    assert runtime.store.fleet.learned_batch(BUILD, "gpu-sm90") == 2
    other, _, its_session = start()
    fill(other.models.borrow("m", {}).loaded, 4)
    assert its_session.batch_sizes == [2, 2]


def test_a_model_whose_batches_fit_teaches_nothing(start):
    runtime, pulse, _ = start()
    runtime.models.borrow("m", {})

    pulse.beat()

    assert runtime.store.fleet.learned_batch(BUILD, "gpu-sm90") is None


def test_a_workers_row_says_what_it_serves_consumes_and_how_full_its_batches_are(start):
    runtime, pulse, _ = start()
    fill(runtime.models.borrow("m", {}).loaded, 8)

    pulse.beat()

    (row,) = runtime.store.fleet.workers()
    assert (row.hardware, row.serves, row.queues) == ("gpu-sm90", ("gpu-sm90", "gpu-any"), ("infer.gpu-any.m",))
    assert (row.models, row.active, row.memory_bytes > 0) == (("m",), 0, True)
    assert (row.stats["m"]["batches"], row.stats["m"]["batch_fill"]) == (4, 1.0)


def test_a_process_tells_its_machine_once_and_no_heartbeat_repeats_it(start):
    runtime, pulse, _ = start(machine={"schema_version": 1})
    pulse.beat()
    told = runtime.store.fleet.machine_of_class("gpu-sm90")
    with runtime.store._db._writer.begin() as database:
        database.execute(delete(machines))
        database.execute(update(workers).values(machine=None))

    for _ in range(4):
        pulse.beat()

    assert (told.worker_id, told.description, told.is_live) == (runtime.worker_id, {"schema_version": 1}, True)
    assert runtime.store.fleet.machine_of_class("gpu-sm90") is None


def test_a_worker_that_somebody_asked_to_drain_hears_it_with_a_beat(start):
    runtime, pulse, _ = start()
    pulse.beat()
    runtime.store.fleet.drain_worker(runtime.worker_id)

    pulse.beat()
    pulse.beat()

    assert runtime.draining.is_set()
