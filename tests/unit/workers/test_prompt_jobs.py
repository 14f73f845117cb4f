"""A job that asks something of a vision-language model, through a worker process without Celery."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from inference_engine import AutoModel
from inference_engine.batching import BatchPolicy, MicroBatcher
from inference_engine.opencv import import_cv2
from inference_engine.sniff import ImageLimits
from inference_engine.tasks import read_prediction
from inference_engine.tasks.prompting import PromptAnswer
from jobstore.ids import new_id
from jobstore.queues import queue_name
from jobstore.schema import ItemRef, JobSpec, JobState, WorkerId, WorkerRow
from jobstore.store import JobStore
from tests.fixtures.hf_writers import write_writer
from workers.leases import LeaseBook
from workers.media import FileReader
from workers.models import ModelPool
from workers.opening import Opener
from workers.shards import Runtime, process_shard
from workers.turns import Turns

PROMPT = "what is this red car ?"


class NoDecision:
    def decisions_for(self, leases, loaded):
        return [None] * len(leases)


class OpenerOfFour:
    """Opens as ever, and joins up to four pictures."""

    def __init__(self, opener):
        self.plan, self._opener = opener.plan, opener

    def open(self, plan):
        loaded = self._opener.open(plan)
        loaded.batcher.close()
        loaded.batcher = MicroBatcher(loaded.model.forward, BatchPolicy(4, 0.05, 1))
        return loaded


@pytest.fixture
def writer(tmp_path):
    write_writer(tmp_path / "writer", "qwen2_5_vl")
    return tmp_path / "writer"


@pytest.fixture
def photos(tmp_path):
    """Five pictures of two sizes, as lossless files."""
    rng = np.random.default_rng(3)
    files = [tmp_path / f"{index}.png" for index in range(5)]
    for index, file in enumerate(files):
        import_cv2().imwrite(str(file), rng.integers(0, 256, (48, 64 - 32 * (index % 2), 3), dtype=np.uint8))
    return files


@pytest.fixture
def runtime(tmp_path, writer):
    store = JobStore.open(f"sqlite:///{tmp_path}/jobs.db")
    store.create_schema()
    worker = WorkerId(new_id())
    store.fleet.heartbeat(WorkerRow(worker, "here", 1, "cpu", "cpu"))
    models = ModelPool(OpenerOfFour(Opener("cpu", 1, 0.01)))
    with ThreadPoolExecutor(4) as decoders, ThreadPoolExecutor(1) as finishers:
        yield Runtime(
            worker_id=worker, store=store, models=models, media=FileReader(), limits=ImageLimits(),
            leases=LeaseBook(store, worker, 30.0), decisions=NoDecision(),
            turns=Turns(decoders, 4, threading.Semaphore(8)), finishers=finishers, lease_s=30.0,
        )  # fmt: skip
        models.close()
    store.close()


def run_job(runtime, writer, photos, params):
    spec = JobSpec(model=str(writer), params=params)
    items = [ItemRef(str(photo)) for photo in photos]
    job_id = runtime.store.add_job(spec, items, lambda hardware: queue_name(hardware, "m"))
    for hint in runtime.store.release(100):
        process_shard(runtime, hint)
    return job_id


def test_a_prompt_job_records_one_answer_an_image_as_a_call_gives_it(runtime, writer, photos):
    job_id = run_job(runtime, writer, photos, {"prompt": PROMPT, "max_new_tokens": 6})

    rows = [read_prediction(row.record, ()) for row in runtime.store.results(job_id)]
    assert all(isinstance(row, PromptAnswer) and row.prompt == PROMPT for row in rows)
    model = AutoModel.from_pretrained(str(writer))
    assert [row.text for row in rows] == [model.prompt(photo, PROMPT, max_new_tokens=6)[0] for photo in photos]


def test_a_job_without_a_prompt_fails_before_its_first_image(runtime, writer, photos):
    job_id = run_job(runtime, writer, photos, {})

    status = runtime.store.status(job_id)
    assert (status.state, status.ok) == (JobState.FAILED, 0)
