"""`nightshift prune`, and what the settings have removed by whoever keeps house."""

import json
import os

import pytest
from sqlalchemy import update

from jobstore.schema import ItemRef, JobSpec, WorkerId, WorkerRow
from jobstore.tables import workers
from nightshift.housekeeping import pruner
from nightshift.settings import load_settings
from tests.fixtures.jobs import queue_of

NAME = f"{'a' * 64}.png"


@pytest.fixture
def uploads(call, called_store, tmp_path):
    """Two uploads of long ago, one of which a job needs."""
    folder = tmp_path / "server" / "uploads" / "yard"
    folder.mkdir(parents=True)
    found = [folder / NAME, folder / NAME.replace("a", "b")]
    for path in found:
        path.write_bytes(bytes(1024))
        os.utime(path, (1, 1))
    called_store.add_job(JobSpec("digits"), [ItemRef(str(found[0]))], queue_of)
    return found


def test_a_dry_run_says_what_would_go(call, uploads):
    said = call("prune", "--uploads", "30d", "--dry-run")
    assert said.splitlines() == [
        "would remove 1 upload, 0 exports, 1.0 KiB",
        "kept 1 old upload that jobs or schedules need",
    ]
    assert all(path.exists() for path in uploads)


def test_what_nobody_needs_goes(call, uploads):
    done = json.loads(call("prune", "--uploads", "30d", "--json"))
    assert done == {"uploads": 1, "exports": 0, "size_bytes": 1024, "needed": 1, "workers": 0}
    assert [path.exists() for path in uploads] == [True, False]


def test_workers_of_long_ago_are_forgotten(call, called_store):
    for name in ("old", "older"):
        called_store.fleet.heartbeat(WorkerRow(WorkerId(name), "host", 7, "cpu", "cpu"))
    change = update(workers).values(heartbeat=workers.c.heartbeat - 40 * 86_400.0)
    called_store._db.write(lambda db: db.execute(change))
    assert call("prune", "--workers", "50d", "--json") == call("prune", "--exports", "1d", "--json")
    assert call("prune", "--dry-run") == "would remove 0 uploads, 0 exports, 0 B, 2 workers\n"
    assert json.loads(call("prune", "--json"))["workers"] == 2
    assert call("prune") == "removed 0 uploads, 0 exports, 0 B\n"


def test_no_file_goes_where_nobody_says_how_old(call, uploads, monkeypatch):
    assert "removed 0 uploads" in call("prune")
    assert all(path.exists() for path in uploads)
    monkeypatch.setenv("NIGHTSHIFT_SERVER__UPLOADS_KEPT_DAYS", "7")
    assert "removed 1 upload" in call("prune")


def test_who_keeps_house_removes_what_the_settings_say(called_store, monkeypatch):
    assert pruner(load_settings(), called_store) is None
    monkeypatch.setenv("NIGHTSHIFT_SERVER__EXPORTS_KEPT_DAYS", "2")
    found = pruner(load_settings(), called_store)
    assert (found.uploads_kept_s, found.exports_kept_s) == (None, 172_800.0)
