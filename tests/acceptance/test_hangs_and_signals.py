"""Worker processes that hang, or are told to leave at once, to pause or to drain: nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from jobstore.schema import JobState, OutcomeState
from tests.fixtures.endless_onnx import write_endless_detector
from tests.fixtures.fleet import Fleet, wait_until

pytestmark = pytest.mark.acceptance

_MACHINE = (
    "import msgspec, sys; from workers.launch import main; from workers.config import WorkerConfig;"
    "sys.exit(main(msgspec.json.decode(sys.argv[1], type=WorkerConfig)))"
)


def start_machine(fleet: Fleet, **options: object) -> subprocess.Popen[bytes]:
    """A worker machine as `nightshift worker start` runs it."""
    orders = msgspec.json.encode(fleet.config(log_level="INFO", **options)).decode()
    return subprocess.Popen([sys.executable, "-c", _MACHINE, orders])


def pictures(folder: Path, bright: set[int], count: int) -> list[Path]:
    """Small pictures, grey ones and bright ones."""
    files = []
    for index in range(count):
        file = folder / f"{index:03d}.png"
        cv2.imwrite(str(file), np.full((32, 32, 3), 255 if index in bright else 40 + index, np.uint8))
        files.append(file)
    return files


@pytest.mark.parametrize("batch", [1, 4], ids=["alone", "in a batch of four"])
def test_an_image_whose_forward_never_ends_fails_alone_and_its_neighbours_are_done(fleet, tmp_path, batch) -> None:
    model = write_endless_detector(tmp_path / "endless.onnx")
    files = pictures(tmp_path, {5}, 16)
    launcher = fleet.start_workers(forward_timeout_s=2.0, lease_s=60.0)
    wishes = {"backend": "onnx", "batch_size": batch}
    first = fleet.producer.wait(fleet.submit(files[:1], model=model, wishes=wishes), timeout_s=60)
    assert first.state is JobState.COMPLETED
    before = launcher.pids

    job_id = fleet.submit(files, model=model, shard_size=8, wishes=wishes)
    status = fleet.producer.wait(job_id, timeout_s=90)

    assert (status.state, status.ok, status.failed) == (JobState.COMPLETED_WITH_ERRORS, 15, 1)
    fleet.assert_each_item_has_one_outcome(job_id)
    (row,) = fleet.store.results(job_id, states=[OutcomeState.FAILED])
    assert (row.idx, row.error.code) == (5, "item_timeout")
    wait_until(lambda: launcher.pids and launcher.pids != before, 20, "another process")


@pytest.mark.parametrize(
    ("signals", "drain_s"),
    [((signal.SIGTERM, signal.SIGTERM), 600.0), ((signal.SIGQUIT,), 600.0), ((signal.SIGTERM,), 1.0)],
    ids=["a second SIGTERM", "SIGQUIT", "a drain that takes too long"],
)
def test_leaving_at_once_gives_every_shard_back_and_loses_nothing(fleet, tmp_path, signals, drain_s) -> None:
    model = write_endless_detector(tmp_path / "endless.onnx")
    job_id = fleet.submit(pictures(tmp_path, {2}, 12), model=model, shard_size=4, wishes={"backend": "onnx"})
    machine = start_machine(fleet, lease_s=600.0, forward_timeout_s=600.0, drain_s=drain_s)
    fleet.wait_for_some(job_id, 2)

    for place, number in enumerate(signals):
        if place:  # two equal signals at once are one
            wait_until(lambda: [row.state for row in fleet.store.fleet.workers()] == ["draining"], 20, "the drain")
        machine.send_signal(number)

    assert machine.wait(timeout=20) == 1
    left = fleet.store.status(job_id)
    assert left.state is JobState.RUNNING
    assert sum(queue.leased for queue in fleet.store.fleet.queues()) == 0
    fleet.start_workers(lease_s=60.0, forward_timeout_s=2.0)
    status = fleet.producer.wait(job_id, timeout_s=90)
    assert (status.ok, status.failed) == (11, 1)
    fleet.assert_each_item_has_one_outcome(job_id)


def test_a_paused_job_is_let_go_in_the_middle_of_its_shards_and_goes_on_where_it_stood(fleet, photos) -> None:
    job_id = fleet.submit(photos(1500), shard_size=512)
    fleet.start_workers(lease_s=60.0)
    fleet.wait_for_some(job_id, 30)

    fleet.store.pause(job_id)
    wait_until(lambda: sum(queue.leased for queue in fleet.store.fleet.queues()) == 0, 10, "the shards' return")

    stood = fleet.store.status(job_id)
    assert stood.state is JobState.PAUSED
    assert 0 < stood.done < 1500
    fleet.store.resume(job_id)
    assert fleet.producer.wait(job_id, timeout_s=150).ok == 1500
    fleet.assert_each_item_has_one_outcome(job_id)


def test_a_worker_that_was_asked_to_drain_ends_and_is_not_replaced(fleet) -> None:
    machine = start_machine(fleet)
    wait_until(lambda: [w for w in fleet.store.fleet.workers() if w.state == "running"], 30, "a worker")
    (worker,) = fleet.store.fleet.workers()

    assert fleet.store.fleet.drain_worker(worker.worker_id)

    assert machine.wait(timeout=30) == 0
    assert [row.state for row in fleet.store.fleet.workers()] == ["stopped"]


def test_a_worker_serves_only_the_models_that_it_is_kept_for(fleet, photos, tmp_path) -> None:
    model = write_endless_detector(tmp_path / "endless.onnx")
    files = photos(4)
    other = fleet.submit(files)
    mine = fleet.submit(files, model=model, wishes={"backend": "onnx"})

    fleet.start_workers(models=(str(model),))

    assert fleet.producer.wait(mine, timeout_s=60).ok == 4
    assert fleet.store.status(other).done == 0


def test_a_process_that_runs_no_python_any_more_is_replaced(fleet) -> None:
    """Stopped here; a native call that holds Python's lock looks the same from outside."""
    launcher = fleet.start_workers(lease_s=2.0, forward_timeout_s=2.0)
    wait_until(lambda: [w for w in fleet.store.fleet.workers() if w.state == "running"], 30, "a worker")
    (silent,) = launcher.pids

    os.kill(silent, signal.SIGSTOP)

    wait_until(lambda: launcher.pids and launcher.pids != [silent], 30, "another process")
