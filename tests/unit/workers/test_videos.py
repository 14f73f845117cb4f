"""A video's way through worker processes, without Celery and with a model that reads the number in each frame."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np
import pytest

from inference_engine.batching import BatchPolicy, MicroBatcher
from inference_engine.errors import ProviderUnavailable
from inference_engine.images import Fit
from inference_engine.sniff import ImageLimits
from jobstore.ids import new_id
from jobstore.queues import queue_name
from jobstore.schema import ItemRef, JobSpec, JobState, OutcomeState, WorkerId, WorkerRow
from jobstore.store import JobStore
from tests.fixtures.videos import read_number, write_video
from videos.options import VideoOptions, cut
from workers.leases import LeaseBook
from workers.media import FileReader
from workers.models import ModelPool
from workers.opening import LoadedModel
from workers.shards import Runtime, process_shard
from workers.turns import Turns

TIMES_MS = range(0, 4000, 40)
PERMITS = 3


@dataclass(frozen=True)
class Number:
    value: int

    def to_record(self):
        return {"value": self.value, "confidence": [1.0]}


@dataclass
class NumberModel:
    """Reads the number in a frame; `before` may raise for one."""

    turn = nullcontext()

    package: object = field(default_factory=lambda: SimpleNamespace(model_id="numbers", task="object-detection"))
    decision: object = field(default_factory=lambda: SimpleNamespace(chosen=None))
    seen: list[int] = field(default_factory=list)
    before: object = lambda _: None

    def preprocess(self, image, params):
        number = read_number(image)
        self.seen.append(number)
        self.before(number)
        return {"images": np.full((1, 1), number, np.float32)}, Fit((1.0, 1.0), (0, 0), image.shape[:2])

    def forward(self, tensors):
        return {"out": tensors["images"]}

    def postprocess(self, outputs, fits, params):
        return [Number(int(row[0])) for row in outputs["out"]]

    def check_params(self, given):
        return given

    def close(self):
        pass


@dataclass
class Opener:
    model: NumberModel
    policy: BatchPolicy

    def plan(self, reference, wishes, samples):
        return SimpleNamespace(weights_bytes=0, samples=[read_number(image) for image in samples()])

    def open(self, plan):
        return LoadedModel(self.model, MicroBatcher(self.model.forward, self.policy), 0.0)


class KeptFiles(FileReader):
    """Remembers the videos that it opened."""

    def __init__(self):
        super().__init__()
        self.opened = []

    def open(self, uri, beat):
        self.opened.append(super().open(uri, beat))
        return self.opened[-1]


class NoDecision:
    def decision_for(self, lease, loaded):
        return None


@pytest.fixture
def store(tmp_path):
    store = JobStore.open(f"sqlite:///{tmp_path}/jobs.db")
    store.create_schema()
    yield store
    store.close()


@contextmanager
def a_worker(store, model, images_a_run=1, permits=PERMITS):
    worker = WorkerId(new_id())
    store.heartbeat(WorkerRow(worker, "here", 1, "cpu", "cpu"))
    with ThreadPoolExecutor(2) as decoders, ThreadPoolExecutor(1) as finishers:
        runtime = Runtime(
            worker_id=worker,
            store=store,
            models=ModelPool(Opener(model, BatchPolicy(images_a_run, 0.005, 2))),
            media=KeptFiles(),
            limits=ImageLimits(),
            leases=LeaseBook(store, worker, 30.0),
            decisions=NoDecision(),
            turns=Turns(decoders, 2, threading.Semaphore(permits)),
            finishers=finishers,
            lease_s=30.0,
        )
        yield runtime
        runtime.models.close()


@pytest.fixture
def model():
    return NumberModel()


@pytest.fixture(params=[1, 4], ids=["one image a run", "batches of four"])
def runtime(request, store, model):
    with a_worker(store, model, request.param) as runtime:
        yield runtime


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("video") / "a.mp4", TIMES_MS, b_frames=2)


ALL = VideoOptions()


def submit(store, path, options=ALL, **more):
    refs = [ItemRef(str(path), clip=clip) for clip in cut(options, 4.0)]
    return store.add_job(JobSpec("m", video=options, **more), refs, lambda hardware: queue_name(hardware, "m"))


def run_all(runtime):
    return [process_shard(runtime, hint) for hint in runtime.store.release(100)]


def frames(store, job_id):
    rows = [row for row in store.results(job_id) if row.frame]
    return [(row.frame, row.timestamp_s, (row.record or {}).get("value")) for row in rows]


def item(store, job_id):
    (row,) = [row for row in store.results(job_id) if not row.frame]
    return row


def test_each_frame_has_an_outcome_with_its_number_and_its_time(runtime, video):
    job_id = submit(runtime.store, video)

    run_all(runtime)

    assert frames(runtime.store, job_id) == [(n + 1, pytest.approx(n * 0.04), n) for n in range(100)]
    status = runtime.store.status(job_id)
    assert (status.state, status.total, status.ok, status.frames, status.objects) == ("completed", 1, 1, 100, 100)


def test_the_videos_own_outcome_counts_its_frames(runtime, video):
    job_id = submit(runtime.store, video, VideoOptions(every=10))

    run_all(runtime)

    record = item(runtime.store, job_id).record
    counted = {"frames_read": 10, "frames_expected": 10, "frames_failed": 0, "is_partial": False}
    assert record.items() >= {"task": "video", "codec": "h264", **counted}.items()


def test_workers_that_share_a_video_find_what_one_finds(store, video):
    options = VideoOptions(fps=7)
    with a_worker(store, NumberModel()) as alone:
        whole = submit(store, video, options)
        run_all(alone)
    shared = submit(store, video, replace(options, segment_s=0.7), shard_size=1)
    first, second = NumberModel(), NumberModel()
    with a_worker(store, first) as one, a_worker(store, second, 4) as two, ThreadPoolExecutor(2) as both:
        hints = store.release(100)
        list(both.map(process_shard, [one, two] * 3, hints))

    assert sorted(frames(store, shared)) == frames(store, whole)
    assert (store.status(shared).total, store.status(shared).state) == (6, JobState.COMPLETED)
    assert first.seen
    assert second.seen


def test_a_frame_that_the_model_cannot_take_costs_only_itself(runtime, model, video):
    def refuse_five(number):
        if number == 5:
            raise ValueError("a poisoned frame")

    model.before = refuse_five
    job_id = submit(runtime.store, video, VideoOptions(end_s=0.4))

    run_all(runtime)

    failed = [row.frame for row in runtime.store.results(job_id) if row.state is OutcomeState.FAILED]
    assert failed == [6]
    assert item(runtime.store, job_id).record["frames_failed"] == 1
    assert runtime.store.status(job_id).ok == 1


def test_a_video_whose_frames_all_fail_fails(runtime, model, video):
    def refuse(number):
        raise ValueError("no")

    model.before = refuse
    job_id = submit(runtime.store, video, VideoOptions(every=20))

    run_all(runtime)

    assert item(runtime.store, job_id).error.code == "frames_failed"
    assert runtime.store.status(job_id).failed == 1


def test_a_frame_that_fails_for_a_moment_is_tried_again_and_the_others_are_not(runtime, model, video):
    def refuse_once(number):
        if number == 5 and model.seen.count(5) == 1:
            raise ProviderUnavailable("not now")

    model.before = refuse_once
    job_id = submit(runtime.store, video, VideoOptions(end_s=0.4))

    run_all(runtime)

    assert [value for _, _, value in frames(runtime.store, job_id)] == list(range(10))
    assert sorted(model.seen) == sorted([*range(10), 5])
    assert runtime.store.status(job_id).state is JobState.COMPLETED


def test_a_drained_worker_keeps_the_frames_it_has_and_the_next_goes_on(store, video):
    first, second = NumberModel(), NumberModel()
    job_id = submit(store, video)
    with a_worker(store, first) as one:
        first.before = lambda number: one.draining.set() if number == 30 else None
        run_all(one)
    written = len(frames(store, job_id))
    with a_worker(store, second) as two:
        run_all(two)

    assert all(file.closed for file in one.media.opened)
    assert 0 < written < 100
    assert len(second.seen) == 100 - written
    assert [value for _, _, value in frames(store, job_id)] == list(range(100))
    assert item(store, job_id).record["frames_read"] == 100


def test_no_more_frames_are_in_memory_than_permits(runtime, model, video):
    left = []
    model.before = lambda _: left.append(runtime.turns.permits._value)
    submit(runtime.store, video)

    run_all(runtime)

    assert max(left) < PERMITS
    runtime.turns.decoders.shutdown()
    assert runtime.turns.permits._value == PERMITS


@pytest.mark.parametrize("images_a_run", [1, 4])
def test_several_videos_of_a_shard_share_one_permit(store, model, video, images_a_run):
    with a_worker(store, model, images_a_run, permits=1) as runtime:
        job_id = submit(store, video, VideoOptions(segment_s=1), shard_size=4)
        run_all(runtime)

    assert [n for _, _, n in sorted(frames(store, job_id))] == list(range(100))
    assert store.status(job_id).state is JobState.COMPLETED
    assert all(file.closed for file in runtime.media.opened)


def test_a_video_over_which_a_worker_died_goes_frame_by_frame(runtime, model, video):
    job_id = submit(runtime.store, video, VideoOptions(end_s=0.4))
    (hint,) = runtime.store.release(100)
    lease = runtime.store.lease_shard(hint.shard_id, hint.attempt, runtime.worker_id, 30.0)
    runtime.store.count_death(lease, runtime.max_deaths)
    on_the_way = []
    model.before = lambda _: on_the_way.append(len(runtime.runs.active()[0].flights))

    run_all(runtime)

    assert on_the_way == [1] * 10
    assert runtime.store.status(job_id).state is JobState.COMPLETED


@pytest.fixture
def cut_short(tmp_path):
    """Its index says 100 frames and stands before them; the second half of their bytes is gone."""
    path = write_video(tmp_path / "a.mp4", TIMES_MS, movflags="faststart")
    data = path.read_bytes()
    path.write_bytes(data[: (data.index(b"mdat") + len(data)) // 2])
    return path


def test_a_video_that_ends_early_keeps_its_frames_and_says_so(runtime, cut_short):
    job_id = submit(runtime.store, cut_short)

    run_all(runtime)

    record = item(runtime.store, job_id).record
    assert (record["is_partial"], record["frames_expected"]) == (True, 100)
    assert 0 < record["frames_read"] == runtime.store.status(job_id).frames < 100


def test_a_video_that_ends_early_fails_if_the_job_says_so(runtime, cut_short):
    job_id = submit(runtime.store, cut_short, VideoOptions(fail_partial=True))

    run_all(runtime)

    assert item(runtime.store, job_id).error.code == "partial"
    assert runtime.store.status(job_id).frames > 0


def test_parts_behind_the_end_of_a_video_that_ends_early_fail(runtime, cut_short):
    job_id = submit(runtime.store, cut_short, VideoOptions(segment_s=1))

    run_all(runtime)

    ends = [row.error.code if row.error else "" for row in runtime.store.results(job_id) if not row.frame]
    assert ends[0] == ""
    assert ends[-1] == "no_frames"


UNREADABLE = {
    "a playlist": (b"#EXTM3U\n/etc/hostname\n", "not_a_video"),
    "a picture": (b"\xff\xd8\xff\xe0\0\x10JFIF", "not_a_video"),
    "no index": (b"\0\0\0\x18ftypisom\0\0\0\0isomiso2", "no_frames"),
}


@pytest.mark.parametrize(("data", "code"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_video_is_one_failed_item(runtime, tmp_path, data, code):
    (tmp_path / "a.mp4").write_bytes(data)
    job_id = submit(runtime.store, tmp_path / "a.mp4")

    run_all(runtime)

    assert item(runtime.store, job_id).error.code == code


def test_a_missing_video_is_one_failed_item(runtime, tmp_path):
    job_id = submit(runtime.store, tmp_path / "gone.mp4")

    run_all(runtime)

    assert item(runtime.store, job_id).error.code == "not_found"
