"""A schedule on two worker machines: its due times become one job each, labelled, exported and told of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobstore.outbox import DeliveryState
from jobstore.schedule_runs import RunState
from tests.fixtures.fleet import Fleet, wait_until
from tests.fixtures.hooks import Receiver, receiving
from tests.fixtures.nightly import make_due

pytestmark = pytest.mark.acceptance

JOB = """\
name: yard
schedule: {{cron: "0 0 1 1 *", timezone: Europe/Berlin, overlap: allow}}
source: photos
model: {model}
output: {{uri: "labels/{{date:%Y}}", formats: [coco, jsonl]}}
notify: [{{webhook: "{url}", secret_env: YARD_HOOK, on: [started, finished]}}]
"""


class Machines:
    """Two of `nightshift worker start`, and the command line beside them."""

    def __init__(self, fleet: Fleet) -> None:
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("NIGHTSHIFT_")},
            "NIGHTSHIFT_BROKER_URL": fleet.redis.url,
            "NIGHTSHIFT_DATABASE_URL": fleet.database_url,
            "NIGHTSHIFT_CACHE_DIR": str(fleet.folder / "cache"),
            "NIGHTSHIFT_WORKER__METRICS_PORT": "0",
            "NIGHTSHIFT_WORKER__RELAY_INTERVAL_S": "0.2",
            "NIGHTSHIFT_WEBHOOKS_ALLOW_PRIVATE": "true",
            "YARD_HOOK": "a phrase",
            "OMP_NUM_THREADS": "1",
        }
        self.log = (fleet.folder / "machines.log").open("w+")
        command = [sys.executable, "-m", "nightshift", "worker", "start", "--hardware", "cpu", "--cpu-processes", "1"]
        self.processes = [subprocess.Popen(command, env=self.environ, stderr=self.log) for _ in range(2)]

    def call(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "nightshift", *arguments]
        return subprocess.run(command, env=self.environ, capture_output=True, text=True, check=True).stdout

    def end(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(60)
        self.log.close()


@pytest.fixture
def machines(fleet: Fleet) -> Iterator[Machines]:
    started = Machines(fleet)
    try:
        yield started
    finally:
        started.end()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def test_due_times_become_one_job_each_labelled_exported_and_told(
    fleet: Fleet, machines: Machines, photos: Callable[[int], list[Path]], receiver: Receiver
) -> None:
    files = photos(6)
    path = fleet.folder / "job.yaml"
    digits = Path(__file__).parents[2] / "models/digits/onnx-fp32"
    path.write_text(JOB.format(model=digits, url=receiver.url))
    applied = json.loads(machines.call("schedule", "apply", "-f", str(path), "--json"))
    assert applied["applied"] == "created"

    schedule = fleet.store.schedules.get("yard")
    for number in (1, 2):
        make_due(fleet.store, schedule)
        wait_until(lambda n=number: len(fleet.store.schedules.runs(schedule.schedule_id)) == n, 60, "the run")
    machines.call("schedule", "run", "yard", "--json")
    wait_until(lambda: fleet.store.outbox.counts().get(DeliveryState.DELIVERED) == 6, 120, "six messages")

    runs = fleet.store.schedules.runs(schedule.schedule_id)
    jobs = fleet.store.jobs()
    assert [run.state for run in runs] == [RunState.SUBMITTED] * 3
    assert {run.job_id for run in runs} == {job.job_id for job in jobs}
    # What the first run labelled, the later ones take over.
    assert [(job.state, job.ok + job.cached) for job in jobs] == [("completed", len(files))] * 3
    told = sorted((json.loads(body)["job"]["id"], json.loads(body)["type"]) for _, body in receiver.got)
    assert told == sorted((job.job_id, kind) for job in jobs for kind in ("job.started", "job.finished"))

    exported = [request for job in jobs for request in fleet.store.exports.of_job(job.job_id)]
    wait_until(lambda: all(fleet.store.exports.get(e.export_id).state == "done" for e in exported), 60, "exports")
    assert len(exported) == 3
    (year,) = (fleet.folder / "labels").iterdir()
    assert len(json.loads((year / "coco/annotations.json").read_text())["images"]) == len(files)
    assert json.loads((year / "manifest.json").read_text())["job"]["id"] in {job.job_id for job in jobs}
