"""A whole worker machine as people start it: its numbers, its health, and being sent home."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest

from jobstore.schema import JobState
from tests.fixtures.fleet import Fleet, kill_9, wait_until
from workers.machine_reports import machine_of

pytestmark = pytest.mark.acceptance


class Machine:
    """`nightshift worker start`, configured by the environment."""

    def __init__(self, fleet: Fleet, **variables: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.environ = {
            **os.environ,
            "NIGHTSHIFT_BROKER_URL": fleet.redis.url,
            "NIGHTSHIFT_DATABASE_URL": fleet.database_url,
            "NIGHTSHIFT_CACHE_DIR": str(fleet.folder / "cache"),
            "NIGHTSHIFT_WORKER__METRICS_PORT": str(self.port),
            "NIGHTSHIFT_WORKER__RELAY_INTERVAL_S": "0.2",
            **variables,
        }
        self.log = (fleet.folder / "machine.log").open("w+")
        self.process = subprocess.Popen(self._command("worker", "start", "--hardware", "cpu"), env=self.environ,
                                        stderr=self.log)  # fmt: skip

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self._command(*arguments), env=self.environ, capture_output=True, text=True, check=False)

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            return str(answer.read().decode())

    def sample(self, name: str) -> float:
        """The sum over all labels of a metric."""
        lines = [line for line in self.get("/metrics").splitlines() if line.startswith((f"{name}{{", f"{name} "))]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(60)
        self.log.close()

    @staticmethod
    def _command(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "nightshift", *arguments]


@pytest.fixture
def machine(fleet: Fleet) -> Iterator[Machine]:
    made = Machine(fleet, NIGHTSHIFT_LOG_FORMAT="json")
    wait_until(lambda: made.call("worker", "ping", "--ready").returncode == 0, 90, "a machine that is ready")
    yield made
    made.end()


def test_a_machine_counts_what_it_labelled_also_after_a_process_died(fleet, machine, photos):
    job_id = fleet.submit(photos(64))
    assert fleet.producer.wait(job_id, timeout_s=60).state is JobState.COMPLETED
    assert machine.sample("nightshift_items_total") == 64
    assert machine.sample("nightshift_batch_items_sum") >= 64
    assert json.loads(machine.get("/v1/autoscale/cpu"))["workers"] == 1
    worker = next(row for row in fleet.store.fleet.workers() if row.state == "running")
    told = fleet.store.fleet.machine_of_class("cpu")
    assert (told.worker_id, told.is_live, machine_of(told.description).gpus) == (worker.worker_id, True, ())

    kill_9(worker.pid)

    wait_until(lambda: machine.sample("nightshift_worker_restarts_total") == 1, 60, "a restart")
    assert machine.sample("nightshift_items_total") == 64
    speeds = fleet.store._db.read(lambda db: db.exec_driver_sql("SELECT seconds_per_item FROM queue_speeds").all())
    assert [0 < row.seconds_per_item < 10 for row in speeds] == [True]


def test_a_machine_that_is_sent_home_gives_its_work_back_and_ends_well(fleet, machine, photos):
    job_id = fleet.submit(photos(1500), shard_size=64)
    fleet.wait_for_some(job_id, 60)
    worker = next(row for row in fleet.store.fleet.workers() if row.state == "running")

    done = machine.call("worker", "drain", worker.worker_id[-8:], "--json")

    assert json.loads(done.stdout) == {"worker_id": worker.worker_id, "draining": True}
    assert machine.process.wait(60) == 0
    assert fleet.store.status(job_id).state is JobState.RUNNING
    assert sum(queue.leased for queue in fleet.store.fleet.queues()) == 0
    assert next(row for row in fleet.store.fleet.workers()).state == "stopped"
    assert machine.call("worker", "ping").returncode == 4


def test_a_port_that_is_taken_is_said_at_once(fleet, machine):
    second = machine.call("worker", "start", "--hardware", "cpu")

    assert second.returncode == 1
    assert str(machine.port) in second.stderr
    assert "NIGHTSHIFT_WORKER__METRICS_PORT" in second.stderr
