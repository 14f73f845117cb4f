"""Models that real workers cannot open now, or never: no item fails by it, and the job says why it waits."""

from __future__ import annotations

import hashlib
import json
import textwrap
from pathlib import Path

import pytest

from inference_engine.testing_server import ModelServer
from jobstore.schema import JobState
from tests.fixtures.fleet import DIGITS, wait_until

pytestmark = pytest.mark.acceptance

MANIFEST = "/pages/manifest.json"
#: What a busy provider says; without a wait of its own, so that a try of five requests is over at once.
BUSY = (503, {"Retry-After": "0"})


@pytest.fixture
def server():
    """A provider with the digits under a manifest."""
    with ModelServer() as server:
        files = []
        for file in sorted(DIGITS.iterdir()):
            server.add_file(f"/pages/onnx-fp32/{file.name}", file.read_bytes())
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            files.append({"name": file.name, "sha256": digest, "size": file.stat().st_size})
        package = json.loads((DIGITS / "model_config.json").read_text()) | {"package_id": "onnx-fp32", "files": files}
        manifest = {"schema_version": 1, "model_id": "pages", "packages": [package]}
        server.add_file(MANIFEST, json.dumps(manifest).encode(), content_type="application/json")
        yield server


def told(fleet, job_id, kind):
    return [event.details for event in fleet.store.events(job_id) if event.kind == kind]


@pytest.mark.parametrize("path", [MANIFEST, "/pages/onnx-fp32/model.onnx"], ids=["the provider", "its file store"])
def test_a_model_that_is_away_for_a_while_delays_its_job_and_fails_nothing(fleet, photos, server, tmp_path, path):
    server.faults[path] = [BUSY] * 15  # three openings of five requests
    fleet.start_workers(cache_dir=str(tmp_path / "cache/packages"))
    job_id = fleet.submit(photos(40), model=server.url + MANIFEST, shard_size=8, wishes={"strategy": "order"})

    wait_until(lambda: fleet.store.why_waiting(job_id), 60, "a reason")
    wait_until(lambda: "the model cannot be opened on cpu" in (fleet.store.why_waiting(job_id) or ""), 60, "the reason")
    status = fleet.producer.wait(job_id, timeout_s=120)

    assert (status.state, status.ok) == (JobState.COMPLETED, 40)
    fleet.assert_each_item_has_one_outcome(job_id)
    waits = [event["next_try_s"] for event in told(fleet, job_id, "opening_postponed")]
    assert len(waits) == 3
    assert waits[0] <= 1.0 < waits[2]


def test_a_model_that_stays_away_fails_its_job_with_the_reason_after_the_time_for_it(fleet, photos, server, tmp_path):
    server.faults[MANIFEST] = [BUSY] * 1000
    fleet.start_workers(cache_dir=str(tmp_path / "cache/packages"), open_retry_s=1.0)

    status = fleet.producer.wait(fleet.submit(photos(8), model=server.url + MANIFEST), timeout_s=60)

    assert (status.state, status.reason, status.skipped) == (JobState.FAILED, "provider_unavailable", 8)
    assert "failed tries: " in status.message


@pytest.mark.parametrize(
    ("body", "hangs"),
    [("threading.Event().wait()", True), ("os.kill(os.getpid(), signal.SIGKILL)", False)],
    ids=["never ends", "ends the process"],
)
def test_a_model_whose_loading_takes_its_process_is_refused_and_no_item_is_blamed(fleet, photos, tmp_path, body, hangs):
    model = write_model(tmp_path / "bad", body)
    fleet.start_workers(
        allow_local_code_packages=True, open_timeout_s=6.0 if hangs else 600.0, max_deaths=2, lease_s=2.0
    )

    job_id = fleet.submit(photos(24), model=model, shard_size=8)
    other = fleet.submit(photos(24), shard_size=8)

    status = fleet.producer.wait(job_id, timeout_s=120)
    assert (status.state, status.reason) == (JobState.FAILED, "opening_lost")
    assert (status.skipped, status.failed) == (24, 0)
    assert "2 worker processes were lost" in status.message
    assert fleet.producer.wait(other, timeout_s=120).ok == 24
    fleet.assert_each_item_has_one_outcome(other)


def write_model(folder: Path, body: str) -> Path:
    """A package with Python of its own, whose class does `body` when it is made."""
    folder.mkdir()
    (folder / "model.py").write_text(
        textwrap.dedent(f"""
        import os, signal, threading

        class Bad:
            class_names = ("thing",)

            def __init__(self, folder, *, device="cpu"):
                {body}

            def __call__(self, images, *, input_color_format=None):
                return []
        """)
    )
    (folder / "model_config.json").write_text(
        json.dumps(
            {
                "schema_version": 1,
                "model_id": "bad",
                "package_id": "bad-python",
                "task_type": "object-detection",
                "model_module": "model.py",
                "model_class": "Bad",
            }
        )
    )
    return folder
