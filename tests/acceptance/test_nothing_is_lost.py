"""Workers and Redis are killed in the middle of a job; every image still ends with exactly one outcome."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys

import msgspec
import pytest

from jobstore.errors import StoreUnavailable
from jobstore.schema import JobState
from jobstore.store import JobStore
from producer.exporting import export_job
from tests.fixtures.fleet import Fleet, kill_9, wait_until

pytestmark = pytest.mark.acceptance


def stop_outside_a_transaction(fleet: Fleet, pid: int) -> None:
    """Stop a process that holds no lock of SQLite: one that does holds up everybody until it goes on."""
    while True:
        os.kill(pid, signal.SIGSTOP)
        with JobStore.open(fleet.database_url, patience_s=0.5) as probe, contextlib.suppress(StoreUnavailable):
            probe.relay.forget_hints()
            return
        os.kill(pid, signal.SIGCONT)


def assert_export_is_complete(fleet: Fleet, job_id: str, count: int) -> None:
    export_job(fleet.producer, job_id, ["jsonl", "coco"], fleet.folder / "out")
    lines = [json.loads(line) for line in (fleet.folder / "out/results.jsonl").read_text().splitlines()]
    names = [
        image["file_name"] for image in json.loads((fleet.folder / "out/coco/annotations.json").read_text())["images"]
    ]
    assert len({line["uri"] for line in lines}) == len(lines) == count
    assert len(set(names)) == len(names) == count


def test_kill_9_of_the_worker_in_the_middle_loses_and_doubles_nothing(fleet, photos) -> None:
    job_id = fleet.submit(photos(500))
    launcher = fleet.start_workers(lease_s=10.0)
    fleet.wait_for_some(job_id, 60)

    kill_9(launcher.pids[0])

    assert fleet.producer.wait(job_id, timeout_s=120).state is JobState.COMPLETED
    assert fleet.assert_each_item_has_one_outcome(job_id).ok == 500
    assert_export_is_complete(fleet, job_id, 500)


def test_flushall_in_the_middle_loses_and_doubles_nothing(fleet, photos) -> None:
    job_id = fleet.submit(photos(500), shard_size=8)
    fleet.start_workers(window=4)
    fleet.wait_for_some(job_id, 60)

    assert fleet.redis.ask("FLUSHALL").startswith(b"+OK")

    assert fleet.producer.wait(job_id, timeout_s=120).state is JobState.COMPLETED
    assert fleet.assert_each_item_has_one_outcome(job_id).ok == 500
    assert_export_is_complete(fleet, job_id, 500)


def test_a_redis_that_comes_back_empty_loses_and_doubles_nothing(fleet, photos) -> None:
    job_id = fleet.submit(photos(500), shard_size=8)
    fleet.start_workers(window=4)
    fleet.wait_for_some(job_id, 60)

    fleet.redis.kill()
    fleet.redis.start()

    assert fleet.producer.wait(job_id, timeout_s=120).state is JobState.COMPLETED
    assert fleet.assert_each_item_has_one_outcome(job_id).ok == 500


def test_a_job_that_is_submitted_while_redis_is_away_runs_when_it_is_back(fleet, photos) -> None:
    fleet.redis.kill()
    job_id = fleet.submit(photos(40))
    fleet.redis.start()
    fleet.start_workers()

    assert fleet.producer.wait(job_id, timeout_s=60).ok == 40


def test_sigterm_drains_exits_with_0_and_the_next_worker_does_the_rest(fleet, photos) -> None:
    job_id = fleet.submit(photos(1500), shard_size=64)
    orders = msgspec.json.encode(fleet.config(log_level="INFO", lease_s=60.0)).decode()
    code = (
        "import msgspec, sys; from workers.launch import main; from workers.config import WorkerConfig;"
        "sys.exit(main(msgspec.json.decode(sys.argv[1], type=WorkerConfig)))"
    )
    machine = subprocess.Popen([sys.executable, "-c", code, orders])
    fleet.wait_for_some(job_id, 60)

    machine.send_signal(signal.SIGTERM)

    assert machine.wait(timeout=40) == 0
    left = fleet.store.status(job_id)
    assert left.state is JobState.RUNNING
    assert sum(queue.leased for queue in fleet.store.fleet.queues()) == 0
    fleet.start_workers(lease_s=60.0)
    assert fleet.producer.wait(job_id, timeout_s=120).state is JobState.COMPLETED
    assert fleet.assert_each_item_has_one_outcome(job_id).ok == 1500


def test_a_worker_that_was_stopped_for_longer_than_its_lease_writes_nothing_any_more(fleet, photos) -> None:
    job_id = fleet.submit(photos(500))
    first = fleet.start_workers(lease_s=2.0)
    fleet.wait_for_some(job_id, 60)
    stopped = first.pids[0]
    stop_outside_a_transaction(fleet, stopped)
    fleet.start_workers(lease_s=2.0)

    try:
        assert fleet.producer.wait(job_id, timeout_s=120).state is JobState.COMPLETED
    finally:
        os.kill(stopped, signal.SIGCONT)

    wait_until(lambda: sum(queue.leased for queue in fleet.store.fleet.queues()) == 0, 30, "the zombie letting go")
    assert fleet.assert_each_item_has_one_outcome(job_id).ok == 500


def test_a_worker_dies_with_its_launcher(fleet) -> None:
    code = (
        "import msgspec, sys, time; from workers.launch import Launcher; from workers.config import WorkerConfig;"
        "l = Launcher(msgspec.json.decode(sys.argv[1], type=WorkerConfig)); l.start();"
        "\nwhile not l.pids: time.sleep(0.05)\nprint(l.pids[0], flush=True); time.sleep(60)"
    )
    orders = msgspec.json.encode(fleet.config()).decode()
    with subprocess.Popen([sys.executable, "-c", code, orders], stdout=subprocess.PIPE, text=True) as machine:
        assert machine.stdout is not None
        worker = int(machine.stdout.readline())
        wait_until(lambda: fleet.store.fleet.workers(), 30, "the worker's first heartbeat")

        machine.kill()

        wait_until(lambda: not os.path.exists(f"/proc/{worker}"), 20, "the worker's end")  # noqa: PTH110
