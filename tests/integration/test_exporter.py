"""A worker machine's numbers and health over HTTP, with counters of processes that died."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from jobstore.dispatch import Doorbell
from jobstore.store import JobStore
from tests.fixtures.jobs import add, queue_of
from workers.exporter import Exporter
from workers.health import Health, ProcessState
from workers.machine_numbers import MachineNumbers, ProcessFiles
from workers.metrics import METRICS, PROCESS_METRICS
from workers.probe import probe

#: Counts once with everything, as a worker process does, and says its pid.
COUNTS = """
import os, sys
from jobstore.schema import Outcome, OutcomeState
from workers.metrics import Meter, ModelLabels
from types import SimpleNamespace
meter, labels = Meter("cpu"), ModelLabels("digits", "object-detection", "onnx")
meter.recorded(labels, [Outcome(0, OutcomeState.OK, timings_ms={"fetch": 10.0}, tries=2)])
meter.metered(labels, lambda tensors: {})({"images": [1, 2, 3]})
meter.model_opened(labels, 1.5)
meter.model_refused("other")
meter.decided(SimpleNamespace(chosen=None, candidates=[SimpleNamespace(backend="onnx", reasons=())]))
meter.fetched("file", 100)
meter.looked_up("hit", 3)
meter.quarantined("message_body")
meter.beat(2)
print(os.getpid(), flush=True)
sys.stdin.read()
"""


class Counting:
    """A process that counted once, and lives until it is ended."""

    def __init__(self, folder: Path) -> None:
        environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
        command = [sys.executable, "-c", COUNTS]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ, text=True)
        self.pid = int(self.process.stdout.readline())

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


@dataclass
class Machine:
    """What a launcher tells the exporter."""

    alive: int = 1
    restarts: int = 4
    states: list[ProcessState] = field(default_factory=list)


@pytest.fixture
def files(tmp_path) -> ProcessFiles:
    folder = tmp_path / "numbers"
    folder.mkdir()
    return ProcessFiles(folder)


@pytest.fixture
def counting(files):
    process = Counting(files.folder)
    yield process
    process.end()


@pytest.fixture
def machine(counting) -> Machine:
    return Machine(states=[ProcessState("cpu-0", counting.pid, 5.0)])


@pytest.fixture
def exporter(files, machine, store, redis_url, tmp_path):
    doorbell = Doorbell(redis_url)
    numbers = MachineNumbers(files, store, tmp_path / "cache", machine)
    made = Exporter("127.0.0.1", 0, numbers, Health(store, doorbell, lambda: machine.states, files.beats, 60.0))
    yield made
    made.close()
    doorbell.close()


def get(exporter: Exporter, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{exporter.port}{path}", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def samples(exporter: Exporter) -> dict[str, float]:
    """Sums over all labels, by sample name."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(get(exporter, "/metrics")[1]):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def test_every_metric_is_exported_and_has_its_type_and_help(exporter, store):
    add(store, 8)

    families = {family.name: family for family in text_string_to_metric_families(get(exporter, "/metrics")[1])}

    for metric in METRICS:
        family = families[metric.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.kind, metric.help)
        assert {label for sample in family.samples for label in sample.labels} <= {*metric.labels, "le", "pid"}


def test_the_fleets_numbers_come_from_sql(exporter, store):
    store.fleet.report_speed(queue_of("cpu"), 2.0)
    add(store, 8)

    found = samples(exporter)

    assert found["nightshift_queue_backlog_items"] == 8
    assert found["nightshift_queue_backlog_seconds"] == 16
    assert found["nightshift_jobs"] == 1
    assert (found["nightshift_store_up"], found["nightshift_worker_restarts_total"]) == (1, 4)


def test_a_process_that_ended_leaves_its_counters_and_takes_its_gauges(exporter, files, counting):
    before = samples(exporter)
    counting.end()

    files.forget(counting.pid)

    after = samples(exporter)
    for name in ("nightshift_items_total", "nightshift_stage_duration_seconds_sum", "nightshift_fetch_bytes_total"):
        assert after[name] == before[name] > 0
    assert before["nightshift_models_loaded"] == 2
    assert "nightshift_worker_heartbeat_timestamp_seconds" not in after
    assert after.get("nightshift_models_loaded", 0) == 0


def test_processes_that_die_again_and_again_leave_one_file_of_each_kind(exporter, files):
    for _ in range(3):
        process = Counting(files.folder)
        process.end()
        files.forget(process.pid)

    assert samples(exporter)["nightshift_items_total"] == 4  # these three, and the one that lives
    assert sum(path.name.endswith("_gone.db") for path in files.folder.iterdir()) == 2


def test_a_database_that_is_away_is_a_number(files, machine, redis_url, tmp_path):
    with JobStore.open(f"sqlite:///{tmp_path}/no/such/folder.db", patience_s=0.1) as away:
        numbers = MachineNumbers(files, away, None, machine)
        exporter = Exporter(
            "127.0.0.1", 0, numbers, Health(away, Doorbell(redis_url), lambda: machine.states, files.beats, 60.0)
        )
        try:
            assert samples(exporter)["nightshift_store_up"] == 0
            assert get(exporter, "/healthz")[0] == 200
            assert get(exporter, "/readyz")[0] == 503
            assert get(exporter, "/v1/autoscale/cpu")[0] == 503
        finally:
            exporter.close()


def test_a_machine_whose_process_lives_is_well_and_ready(exporter):
    status, body = get(exporter, "/readyz")

    checks = json.loads(body)["checks"]
    assert (status, checks["database"], checks["broker"]) == (200, "ok", "ok")
    assert checks["processes"] == "1 of 1 take work"
    assert get(exporter, "/healthz")[0] == 200


def test_a_machine_whose_process_is_silent_is_not_well(exporter, machine):
    machine.states = [ProcessState("cpu-0", 1, 3600.0)]

    assert get(exporter, "/healthz")[0] == 503
    assert get(exporter, "/readyz")[0] == 503


def test_the_autoscale_figures_are_one_object(exporter, store):
    add(store, 8)
    store.fleet.report_speed(queue_of("cpu"), 0.5)

    status, body = get(exporter, "/v1/autoscale/cpu")

    found = json.loads(body)
    assert status == 200
    assert (found["backlog_items"], found["backlog_seconds"], found["workers"]) == (8, 4.0, 0)


@pytest.mark.parametrize("path", ["/", "/metrics/", "/v1/autoscale/", "/v1/autoscale/..%2f..", "/v1/autoscale/cpu%00"])
def test_another_path_is_not_found(exporter, path):
    assert get(exporter, path)[0] == 404


def test_a_probe_tells_well_failing_and_silent_apart(exporter, machine):
    assert probe("0.0.0.0", exporter.port, "/healthz").state == "ok"  # noqa: S104 (asked for, not bound to)
    machine.states = [ProcessState("cpu-0", 1, 3600.0)]
    assert probe("127.0.0.1", exporter.port, "/healthz").state == "failing"
    exporter.close()
    assert probe("127.0.0.1", exporter.port, "/readyz").state == "silent"
    assert probe("127.0.0.1", 0, "/readyz").state == "silent"


def test_every_process_metric_is_counted_by_a_worker(files, counting):
    counted = {family.name for family in files.collect()}

    assert counted == {metric.name.removesuffix("_total") for metric in PROCESS_METRICS}
