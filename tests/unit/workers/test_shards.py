"""A shard's way through a worker process, without Celery and with a scripted model."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sqlalchemy import select

from inference_engine.batching import BatchPolicy, MicroBatcher
from inference_engine.errors import NoRunnableBackend, OutOfMemory, ParameterInvalid, ProviderUnavailable, SessionFailed
from inference_engine.images import Fit
from inference_engine.opencv import import_cv2
from inference_engine.sniff import ImageLimits
from inference_engine.tasks import read_prediction
from inference_engine.tasks.embedding import Embedding
from jobstore.dispatch import Doorbell
from jobstore.errors import StoreUnavailable
from jobstore.ids import new_id
from jobstore.queues import queue_name
from jobstore.schema import DecisionId, ItemRef, JobSpec, JobState, OutcomeState, WorkerId, WorkerRow
from jobstore.store import JobStore
from jobstore.tables import outcomes
from tests.fixtures.fleet import wait_until
from workers.figures import STAGES
from workers.leases import LeaseBook
from workers.leaving import Exit, Hanging, leave
from workers.media import FileReader, MediaError
from workers.models import ModelPool
from workers.opening import LoadedModel
from workers.refill import Refill
from workers.reserve import Reserve
from workers.shards import Runtime, process_shard
from workers.turns import Turns
from workers.watchdog import Watchdog

MARK = 200


@dataclass
class Prediction:
    value: int

    def to_record(self):
        return {"value": self.value}


class ScriptedModel:
    """Sees the first pixel of an image; raises where it is `MARK`, or whatever it sees once it is broken."""

    package = SimpleNamespace(model_id="scripted", task="object-detection")
    decision = SimpleNamespace(chosen=None)
    turn = nullcontext()

    def __init__(self):
        self.batches, self.is_broken, self.fails = [], False, RuntimeError("a poisoned pixel")
        self.before = lambda _: None

    def preprocess(self, image, params=None):
        return {"images": image[None, :1, :1, :1].copy()}, Fit((1.0, 1.0), (0, 0), image.shape[:2])

    def forward(self, tensors):
        self.batches.append(tensors["images"].ravel().tolist())
        self.before(tensors)
        if self.is_broken:
            raise SessionFailed("CUDA error: an illegal memory access was encountered")
        if (tensors["images"] == MARK).any():
            raise self.fails
        return {"out": tensors["images"].reshape(-1, 1)}

    def postprocess(self, outputs, fits, params):
        return [Prediction(int(row[0])) for row in outputs["out"]]

    def check_params(self, given):
        if given:
            raise ParameterInvalid("this model takes nothing")

    def close(self):
        pass


class FixedDecision:
    def decisions_for(self, leases, loaded):
        return [None] * len(leases)


@dataclass
class OneModel:
    """An opener that opens the same model for every reference, or raises."""

    model: object
    policy: BatchPolicy
    opened: int = 0
    refuses: Exception | None = None
    before: Callable[[], object] = lambda: None

    def plan(self, reference, wishes, samples):
        if self.refuses:
            raise self.refuses
        return SimpleNamespace(weights_bytes=0)

    def open(self, plan):
        self.opened += 1
        self.before()
        return LoadedModel(self.model, MicroBatcher(self.model.forward, self.policy), 0.0)


@dataclass
class World:
    store: JobStore
    runtime: Runtime
    model: ScriptedModel
    opener: OneModel
    folder: object
    exits: list

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
    store.fleet.heartbeat(WorkerRow(worker, "here", 1, "cpu", "cpu"))
    model = ScriptedModel()
    opener, exits = OneModel(model, BatchPolicy(request.param, 0.005, 2)), []
    with ThreadPoolExecutor(2) as decoders, ThreadPoolExecutor(1) as finishers:
        runtime = Runtime(
            worker_id=worker,
            store=store,
            models=ModelPool(opener),
            media=FileReader(),
            limits=ImageLimits(),
            leases=LeaseBook(store, worker, 30.0),
            decisions=FixedDecision(),
            turns=Turns(decoders, 2, threading.Semaphore(8)),
            finishers=finishers,
            lease_s=30.0,
            exit=exits.append,
        )
        yield World(store, runtime, model, opener, tmp_path, exits)
        runtime.models.close()
    store.close()


def test_every_item_gets_its_own_answer_whoever_its_neighbours_are(world):
    job_id = world.submit(world.photos(range(50)), shard_size=16)

    ended = world.run_all()

    assert [row.record["value"] for row in world.store.results(job_id)] == list(range(50))
    assert (ended[-1], world.store.status(job_id).state) == ((job_id,), JobState.COMPLETED)


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
    files = world.photos([1, 2, 3, 4])
    world.submit(files, tenant="large", shard_size=1)
    (hint,) = world.store.release(1)
    world.store.lease_shard(hint.shard_id, hint.attempt, world.runtime.worker_id, 30.0)
    late = world.submit(files, tenant="late", shard_size=2)
    world.store.release(4)
    refill = Refill(world.store, Doorbell("memory://"), 4, world.runtime.draining)
    reserve = Reserve(world.runtime, refill, places=1 if is_full else 2)

    with reserve.taking_a_place():
        reserve.look([queue_name("cpu", "m")])
        reserve.close()

    assert world.store.state(late) is (JobState.COMPLETED if is_full else JobState.RUNNING)


class FlakyReader:
    """Fails so often for each file before it reads it."""

    def __init__(self, failures, name=""):
        self._left = Counter()
        self._failures, self._name = failures, name

    def read(self, uri):
        self._left[uri] += 1
        if self._name in uri and self._left[uri] <= self._failures:
            raise MediaError("read_failed", f"{uri}: the storage is busy")
        return FileReader().read(uri)


def tries_of(world, job_id):
    """Of each item, as they are stored."""
    query = select(outcomes.c.tries).where(outcomes.c.job_id == job_id).order_by(outcomes.c.idx)
    return world.store._db.read(lambda db: list(db.execute(query).scalars()))


def test_an_item_that_fails_for_a_passing_reason_is_tried_again_and_its_tries_are_kept(world):
    world.runtime = replace(world.runtime, media=FlakyReader(2, "/1.png"))
    job_id = world.submit(world.photos([7, 8, 9]))

    world.run_all()

    assert [row.record["value"] for row in world.store.results(job_id)] == [7, 8, 9]
    assert tries_of(world, job_id) == [1, 3, 1]


def test_after_three_tries_an_item_has_failed_and_no_worker_has_died(world):
    world.runtime = replace(world.runtime, media=FlakyReader(3))
    job_id = world.submit(world.photos([7]))

    world.run_all()

    (row,) = world.store.results(job_id)
    assert (row.error.code, row.attempt, tries_of(world, job_id)) == ("read_failed", 1, [3])
    assert all(world.runtime.turns.permits.acquire(timeout=1) for _ in range(8))


def test_an_image_that_its_session_alone_refuses_is_tried_three_times_and_costs_only_itself(world):
    world.model.fails = SessionFailed("the runtime does not take this shape")
    job_id = world.submit(world.photos([1, MARK, 3, 4]))

    world.run_all()

    assert [row.state for row in world.store.results(job_id)] == ["ok", "failed", "ok", "ok"]
    assert (world.opener.opened, world.exits) == (1, [])
    assert tries_of(world, job_id)[1] == 3


def test_an_image_for_which_there_is_no_memory_even_alone_fails_with_that_code(world):
    world.model.fails = OutOfMemory("no room")
    job_id = world.submit(world.photos([1, MARK, 3, 4]))

    world.run_all()

    assert [group.code for group in world.store.failures(job_id)] == ["out_of_memory"]


def break_after(model, images):
    """Let the session break when it has run so many images."""
    seen = []

    def before(tensors):
        seen.extend(tensors["images"])
        model.is_broken = len(seen) > images

    model.before = before


def test_a_session_that_breaks_is_opened_anew_and_no_item_is_blamed(world):
    job_id = world.submit(world.photos(range(1, 21)))
    break_after(world.model, 5)

    assert world.run_all() == [()]
    world.model.before, world.model.is_broken = lambda _: None, False
    world.run_all()

    status = world.store.status(job_id)
    assert (status.ok, status.failed, world.opener.opened, world.exits) == (20, 0, 2, [])


def test_a_session_that_breaks_again_ends_the_process_and_a_death_is_counted(world):
    job_id = world.submit(world.photos([1, 2, 3]))
    world.model.is_broken = True

    world.run_all()
    world.run_all()

    assert world.exits == [Exit.BROKEN]
    (hint,) = world.store.release(10)
    lease = world.store.lease_shard(hint.shard_id, hint.attempt, world.runtime.worker_id, 30.0)
    assert (lease.deaths, len(lease.items), world.store.status(job_id).failed) == (1, 3, 0)


def test_a_shard_over_which_a_worker_died_is_run_one_image_at_a_time(world):
    job_id = world.submit(world.photos(range(1, 9)))
    (hint,) = world.store.release(1)
    lease = world.store.lease_shard(hint.shard_id, hint.attempt, world.runtime.worker_id, 30.0)
    assert world.store.count_death(lease, 3)

    world.run_all()

    assert world.model.batches == [[value] for value in range(1, 9)]
    assert world.store.status(job_id).ok == 8


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


@pytest.fixture
def gate(world):
    """Holds every forward that sees `MARK`, and opens at the end."""
    opened = threading.Event()
    world.model.before = lambda tensors: (tensors["images"] == MARK).any() and opened.wait(20)
    world.model.fails = RuntimeError("the process should be gone")
    yield opened
    opened.set()


def watch(world, **limits):
    """A watchdog with a short limit for what is given, and none for the rest."""
    return Watchdog(
        world.runtime,
        **{"item_timeout_s": 1e9, "forward_timeout_s": 1e9, "open_timeout_s": 1e9, **limits},
        consumed=list,
    )


def test_a_forward_that_hangs_costs_its_image_alone_and_the_process(world, gate):
    job_id = world.submit(world.photos([1, 2, 3, MARK, 5, 6]), shard_size=3)
    hints = world.store.release(2)
    # A worker died over the second shard, so that its images run alone whatever the batch size is.
    lease = world.store.lease_shard(hints[1].shard_id, hints[1].attempt, world.runtime.worker_id, 30.0)
    world.store.count_death(lease, 3)
    process_shard(world.runtime, hints[0])
    (hint,) = world.store.release(2)
    with ThreadPoolExecutor(1) as shard:
        running = shard.submit(process_shard, world.runtime, hint)
        dog = watch(world, forward_timeout_s=0.0)
        wait_until(lambda: world.runtime.runs.active() and any(r.flights for r in world.runtime.runs.active()))
        wait_until(lambda: dog.hanging(time.monotonic()) is not None)

        dog.look(time.monotonic())

        assert world.exits == [Exit.HUNG]
        gate.set()
        assert running.result(20) == ()

    (failure,) = world.store.results(job_id, states=[OutcomeState.FAILED])
    assert (failure.idx, failure.error.code, "the model's forward" in failure.error.message) == (
        3,
        "item_timeout",
        True,
    )
    world.runtime.draining.clear()
    world.run_all()
    assert world.store.status(job_id).ok == 5


def test_who_waits_for_the_models_turn_does_not_hang(world):
    job_id = world.submit(world.photos([1, 2]))
    finishers = ThreadPoolExecutor(2)
    world.runtime = replace(world.runtime, finishers=finishers)
    world.model.turn, inside, opened = threading.Lock(), threading.Event(), threading.Event()

    def slow(outputs, fits, params):
        inside.set()
        assert opened.wait(20)
        return ScriptedModel.postprocess(world.model, outputs, fits, params)

    world.model.postprocess = slow
    (hint,) = world.store.release(1)
    with finishers, ThreadPoolExecutor(1) as shard:
        running = shard.submit(process_shard, world.runtime, hint)
        wait_until(inside.is_set)
        run = world.runtime.runs.active()[0]
        wait_until(lambda: len(run.flights) == 2 and all("forward" in flight.timings_ms for flight in run.flights))

        hanging = watch(world, item_timeout_s=0.0).hanging(time.monotonic())

        opened.set()
        running.result(20)
    assert len(hanging.alone) == 1
    assert world.store.status(job_id).ok == 2


def test_a_loading_that_hangs_costs_the_process_and_blames_no_item(world):
    opened = threading.Event()
    world.opener.before = lambda: opened.wait(20)
    job_id = world.submit(world.photos([1, 2, 3, 4]), shard_size=2)
    with ThreadPoolExecutor(2) as shards:
        running = [shards.submit(process_shard, world.runtime, hint) for hint in world.store.release(2)]
        dog = watch(world, open_timeout_s=0.0)
        wait_until(lambda: len(world.runtime.runs.unopened()) == 2 and dog.hanging(time.monotonic()))
        assert (watch(world).hanging(time.monotonic()), world.runtime.runs.idle_s()) == (None, 0.0)

        dog.look(time.monotonic())

        assert world.exits == [Exit.HUNG]
        assert [(row.leased, row.pending) for row in world.store.fleet.queues()] == [(0, 2)]
        opened.set()
        assert [shard.result(20) for shard in running] == [(), ()]
    assert [event.details["deaths"] for event in world.store.events(job_id) if event.kind == "opening_lost"] == [1]
    world.runtime.draining.clear()
    world.run_all()
    assert world.store.status(job_id).ok == 4


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


def test_of_a_batch_that_hangs_nobody_is_blamed_and_a_death_is_counted(world, gate):
    world.submit(world.photos([MARK, 2]))
    (hint,) = world.store.release(1)
    with ThreadPoolExecutor(1) as shard:
        running = shard.submit(process_shard, world.runtime, hint)
        wait_until(lambda: any(run.flights for run in world.runtime.runs.active()))
        flights = world.runtime.runs.active()[0].flights

        leave(world.runtime, Exit.HUNG, Hanging(among=flights))

        gate.set()
        running.result(20)
    (hint,) = world.store.release(1)
    lease = world.store.lease_shard(hint.shard_id, hint.attempt, world.runtime.worker_id, 30.0)
    assert (lease.deaths, lease.items[0].idx) == (1, 0)


def test_a_read_that_hangs_costs_its_item_and_neighbours_of_the_shard_are_done_later(world):
    opened, read = threading.Event(), world.runtime.media.read

    class HangingReader:
        def read(self, uri):
            if uri.endswith("/2.png"):
                opened.wait(20)
            return read(uri)

    world.runtime = replace(world.runtime, media=HangingReader())
    job_id = world.submit(world.photos([1, 2, 3, 4]))
    (hint,) = world.store.release(1)
    with ThreadPoolExecutor(1) as shard:
        running = shard.submit(process_shard, world.runtime, hint)
        dog = watch(world, item_timeout_s=0.2)
        wait_until(lambda: dog.hanging(time.monotonic()) is not None)

        dog.look(time.monotonic())

        opened.set()
        running.result(20)
    world.runtime.draining.clear()
    world.run_all()
    (failure,) = world.store.results(job_id, states=[OutcomeState.FAILED])
    assert (failure.idx, failure.error.code, "fetch" in failure.error.message) == (2, "item_timeout", True)
    assert (world.store.status(job_id).ok, world.exits) == (3, [Exit.HUNG])


def test_an_idle_process_whose_queues_hold_old_hints_is_replaced(world, monkeypatch):
    monkeypatch.setattr("workers.watchdog._OVERDUE_S", 0.0)
    world.submit(world.photos([1]))
    (hint,) = world.store.release(1)
    dog = Watchdog(world.runtime, 60.0, 60.0, 60.0, consumed=lambda: [hint.queue])

    dog.look(time.monotonic())

    assert world.exits == [Exit.HUNG]


def test_an_idle_process_whose_queues_are_empty_stays(world, monkeypatch):
    monkeypatch.setattr("workers.watchdog._OVERDUE_S", 0.0)
    world.submit(world.photos([1]))

    watch(world).look(time.monotonic())

    assert world.exits == []


def test_figures_say_where_the_time_goes(world):
    world.submit(world.photos(range(20)))
    loan = world.runtime.models.borrow("m", {})

    world.run_all()

    figures = loan.loaded.figures()
    assert (figures.items, figures.images) == (20, 20)
    assert 0 < figures.batch_fill <= 1
    assert set(figures.stage_ms) == set(STAGES)
    assert all(figures.stage_ms.values())
