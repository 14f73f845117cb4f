"""Malformed messages against a real worker process: none ends it, each leaves one row, good ones are done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import redis

from jobstore.queues import idle_queue, queue_name
from jobstore.schema import JobState
from tests.fixtures.fleet import DIGITS, Fleet, wait_until
from tests.fixtures.poison import envelope, poison
from workers.launch import Launcher

pytestmark = pytest.mark.acceptance

QUEUE = idle_queue("cpu")
#: A stock worker grows by 900 MB over the gzip bomb.
GROWTH_KB = 50_000


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A folder that exists once somebody loads a pickle."""
    return tmp_path / "pickled"


@pytest.fixture
def client(fleet: Fleet):
    with redis.Redis.from_url(fleet.redis.url) as made:
        yield made


@pytest.fixture
def working(fleet: Fleet, photos) -> Launcher:
    """A worker that has labelled something, so that its model is loaded and its memory has its size."""
    launcher = fleet.start_workers(lease_s=20.0)
    assert fleet.producer.wait(fleet.submit(photos(8)), timeout_s=60).ok == 8
    return launcher


def peak_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0])


def rows(fleet: Fleet) -> int:
    return len(fleet.store.fleet.quarantined(1_000))


def test_each_kind_leaves_one_row_and_the_worker_alive(fleet, working, client, marker, photos):
    kinds = poison(QUEUE, str(marker))
    before = working.pids
    peak = peak_kb(before[0])

    for number, (kind, (reason, entry)) in enumerate(kinds.items(), 1):
        client.lpush(QUEUE, entry)
        wait_until(lambda number=number: rows(fleet) == number, 20, f"a row for {kind}")
        row = fleet.store.fleet.quarantined(1)[0]
        assert (row.reason, row.size_bytes, row.queue) == (reason, len(entry), QUEUE), kind

    job_id = fleet.submit(photos(40), shard_size=8)
    assert fleet.producer.wait(job_id, timeout_s=60).ok == 40
    assert working.pids == before
    assert peak_kb(before[0]) - peak < GROWTH_KB
    assert not marker.exists()
    wait_until(lambda: client.hlen("unacked") == 0, 20, "the last acknowledgement")


def test_all_kinds_at_once_among_good_messages(fleet, working, client, marker, photos):
    before = working.pids
    queue = queue_name("cpu", str(DIGITS))
    kinds = poison(queue, str(marker))
    job_id = fleet.submit(photos(400), shard_size=8)

    for _, entry in kinds.values():
        client.lpush(queue, entry)

    assert fleet.producer.wait(job_id, timeout_s=120).state is JobState.COMPLETED
    assert fleet.assert_each_item_has_one_outcome(job_id).ok == 400
    wait_until(lambda: rows(fleet) == len(kinds), 20, "a row each")
    assert working.pids == before
    assert not marker.exists()


def test_a_replayed_message_does_nothing_and_is_no_malformed_one(fleet, working, client, photos):
    before = working.pids
    job_id = fleet.submit(photos(8), shard_size=8)
    wait_until(lambda: fleet.store.status(job_id).is_ended, 60, "the job's end")
    replayed = json.dumps(envelope(QUEUE, {"v": 1, "shard": shard_of(fleet, job_id), "attempt": 1}))

    client.lpush(QUEUE, replayed, replayed)

    wait_until(lambda: client.llen(QUEUE) == 0 and client.hlen("unacked") == 0, 20, "both taken and acknowledged")
    assert fleet.assert_each_item_has_one_outcome(job_id).ok == 8
    assert rows(fleet) == 0
    assert working.pids == before


def test_the_gate_stands_again_on_a_new_connection(fleet, working, client):
    before = working.pids
    client.client_kill_filter(_type="normal", skipme=True)

    client.lpush(QUEUE, b"42")

    wait_until(lambda: rows(fleet) == 1, 60, "a row")
    assert working.pids == before


def test_a_command_for_celerys_remote_control_is_not_heard(fleet, working, client):
    assert set(client.pubsub_channels()) <= {b"nightshift:work"}  # a doorbell of ours, and none of Celery's


def shard_of(fleet: Fleet, job_id: str) -> str:
    with fleet.store._db._reader.connect() as database:
        return str(database.exec_driver_sql("SELECT id FROM shards WHERE job_id = ?", (job_id,)).scalar_one())
