"""What the commands of a fleet print, and their exit statuses."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from jobstore.schema import QuarantinedMessage, WorkerId, WorkerRow
from jobstore.store import JobStore
from nightshift.cli import cli
from nightshift.doctor import Finding, _fleet
from tests.fixtures.jobs import add, lease_next

WORKER = WorkerId("01900000-0000-7000-8000-0000deadbeef")


@pytest.fixture
def store(tmp_path, monkeypatch: pytest.MonkeyPatch):
    url = f"sqlite:///{tmp_path}/fleet.db"
    monkeypatch.setenv("NIGHTSHIFT_DATABASE_URL", url)
    monkeypatch.setenv("NIGHTSHIFT_WORKER__METRICS_PORT", "0")
    with JobStore.open(url) as opened:
        opened.create_schema()
        yield opened


@pytest.fixture
def call(store) -> Callable[..., Result]:
    return lambda *arguments: CliRunner().invoke(cli, arguments, standalone_mode=False)


def works(store, worker_id: WorkerId = WORKER) -> None:
    row = WorkerRow(worker_id, "night-1", 77, "gpu-sm90", "cuda:0", serves=("gpu-sm90", "gpu-any"), memory_bytes=2**31)
    store.fleet.heartbeat(row)


def test_queues_say_why_they_wait(store, call):
    add(store, 8, hardware=("gpu-sm90",))

    result = call("queues")

    (header, row) = result.output.splitlines()
    assert header.endswith("why it waits")
    assert row.endswith("no worker serves gpu-sm90")


def test_queues_are_objects_for_programs(store, call):
    add(store, 8, hardware=("gpu-sm90",))

    row = json.loads(call("queues", "--json").output)

    assert (row["waiting"], row["backlog_items"], row["hardware"]) == ("no_worker", 8, "gpu-sm90")


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_messages_that_were_set_aside_are_listed(store, call, form):
    store.fleet.quarantine(QuarantinedMessage("infer.cpu", "message_not_json", "not JSON", "\\x00\\xff", 2, WORKER))

    output = call("queues", "--quarantined", *form).output

    assert "message_not_json" in output
    assert "infer.cpu" in output


def test_the_figures_of_every_class_that_has_work_or_a_worker(store, call):
    works(store)
    add(store, 8)

    found = {row["hardware"]: row for row in map(json.loads, call("autoscale", "--json").output.splitlines())}

    assert {name: (row["backlog_items"], row["workers"]) for name, row in found.items()} == {
        "cpu": (8, 0), "gpu-any": (0, 1), "gpu-sm90": (0, 1),
    }  # fmt: skip
    assert call("autoscale", "cpu").output.splitlines()[1].split()[:2] == ["cpu", "8"]


def test_workers_are_listed_with_what_names_them(store, call):
    works(store)

    row = call("worker", "ls").output.splitlines()[1].split()

    assert row[:3] == ["deadbeef", "night-1", "77"]
    assert {"gpu-sm90,", "gpu-any", "running", "2.0"} <= set(row)


@pytest.mark.parametrize("text", [WORKER, "deadbeef", "01900000"])
def test_a_worker_is_sent_home_by_any_end_of_its_id(store, call, text):
    works(store)

    result = call("worker", "drain", text, "--json")

    assert json.loads(result.output)["worker_id"] == WORKER
    assert store.fleet.workers()[0].drain
    assert "leaving" in call("worker", "ls").output


def test_nobody_is_sent_home_by_a_name_that_two_have(store, call):
    works(store)
    works(store, WorkerId("01900000-0000-7000-8000-0000cafecafe"))

    result = call("worker", "drain", "01900000")

    assert "2 workers are called '01900000'" in str(result.exception)
    assert not any(worker.drain for worker in store.fleet.workers())


def test_a_ping_that_nobody_answers_exits_with_4(call):
    result = call("worker", "ping", "--json")

    assert result.return_value == 4
    assert json.loads(result.output)["state"] == "silent"


def test_doctor_tells_of_work_that_nobody_can_do_and_of_messages_set_aside(store):
    works(store)
    add(store, 8)
    store.fleet.quarantine(QuarantinedMessage("infer.cpu", "message_body", "no", "x", 2, WORKER))

    assert list(_fleet(store, is_embedded=False)) == [
        Finding("ok", "workers", "1 running, for gpu-any, gpu-sm90"),
        Finding("warn", "queues", "8 images in infer.cpu.digits wait: no worker serves cpu", "nightshift queues"),
        Finding(
            "warn",
            "queues",
            "messages were set aside, the last one for message_body",
            "nightshift queues --quarantined",
        ),
    ]


def test_doctor_is_silent_about_work_that_goes_on(store):
    works(store)
    add(store, 4, hardware=("gpu-sm90",))
    lease_next(store)

    assert [finding.level for finding in _fleet(store, is_embedded=False)] == ["ok"]
