"""Forwards, loadings and reads that hang: the watchdog ends the process, and only what hung is to blame."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from jobstore.schema import OutcomeState
from tests.fixtures.fleet import wait_until
from tests.fixtures.scripted_worker import MARK, ScriptedModel
from workers.leaving import Exit, Hanging, leave
from workers.shards import process_shard
from workers.watchdog import Watchdog


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
