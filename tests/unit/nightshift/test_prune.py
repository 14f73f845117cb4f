"""`nightshift prune`, and what the settings have removed by whoever keeps house."""

import json
import os

import pytest
from click import UsageError

from jobstore.schema import ItemRef, JobSpec
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
    assert done == {"uploads": 1, "exports": 0, "size_bytes": 1024, "needed": 1}
    assert [path.exists() for path in uploads] == [True, False]


def test_nothing_goes_where_nobody_says_how_old(call, uploads, monkeypatch):
    with pytest.raises(UsageError, match="--uploads 30d"):
        call("prune")
    assert all(path.exists() for path in uploads)
    monkeypatch.setenv("NIGHTSHIFT_SERVER__UPLOADS_KEPT_DAYS", "7")
    assert "removed 1 upload" in call("prune")


def test_who_keeps_house_removes_what_the_settings_say(called_store, monkeypatch):
    assert pruner(load_settings(), called_store) is None
    monkeypatch.setenv("NIGHTSHIFT_SERVER__EXPORTS_KEPT_DAYS", "2")
    found = pruner(load_settings(), called_store)
    assert (found.uploads_kept_s, found.exports_kept_s) == (None, 172_800.0)
