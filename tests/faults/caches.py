"""A folder of fetched packages that is read only when a job's model has to be fetched."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from inference_engine.testing_server import ModelServer
from jobstore.schema import JobId
from tests.faults.fault import Fault, nothing
from tests.faults.model import write_model
from tests.faults.system import System, running
from tests.fixtures.databases import PostgresServer
from tests.fixtures.disks import disk, remount
from tests.fixtures.fleet import wait_until

CACHE = "cache"


@contextlib.contextmanager
def with_read_only_cache(
    mode: str, folder: Path, seed: int, postgres: Callable[[], PostgresServer]
) -> Iterator[System]:
    """A model that has to be fetched, and machines whose folder for it takes nothing."""
    cache = folder / CACHE
    cache.mkdir()
    with disk(cache, "ro"), ModelServer() as server, running(mode, folder, seed, postgres) as system:
        system.model = _publish(server, write_model(folder / "published"))
        system.options |= {"cache_dir": str(cache)}
        yield system


def _publish(server: ModelServer, folder: Path) -> str:
    """Serve a package behind a manifest, and give its address."""
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    for name, data in files.items():
        server.add_file(f"/shelf/colours/{name}", data)
    told = [{"name": name, "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()]
    package = {"package_id": "colours", "backend_type": "onnx", "quantization": "fp32", "files": told}
    model = {"schema_version": 1, "model_id": "colours", "packages": [package]}
    facts = {"model_architecture": "yolov8", "task_type": "object-detection"}
    server.add_file("/shelf/manifest.json", json.dumps(model | facts).encode(), content_type="application/json")
    return f"{server.url}/shelf/manifest.json"


def submit_to_read_only_cache(system: System, count: int) -> JobId:
    """The job waits with words, and nothing half-written lies there; then the folder takes what is fetched."""
    cache = system.folder / CACHE
    job_id = system.submit(count)
    wait_until(lambda: _troubles(system, job_id), 120, "a try to open the model")
    assert "may be written" in _troubles(system, job_id)[0], _troubles(system, job_id)
    assert not list(cache.iterdir()), "something was written to a folder that is read only"
    assert system.store.status(job_id).failed == 0
    assert remount(cache, is_read_only=False)
    return job_id


def _troubles(system: System, job_id: JobId) -> list[str]:
    return [event.details["message"] for event in system.store.events(job_id) if event.kind == "opening_postponed"]


def nothing_half_written(system: System, _: JobId) -> None:
    """One whole package lies there."""
    root = system.folder / CACHE / "v1"
    assert not list((root / "partial").iterdir()), "a part was left behind"
    (package,) = (root / "packages").iterdir()
    assert {path.name for path in package.iterdir()} >= {path.name for path in (system.folder / "published").iterdir()}


FAULTS = (
    Fault(
        "F40", "the folder of fetched packages is read only", nothing, stage=with_read_only_cache,
        submit=submit_to_read_only_cache, check=nothing_half_written,
        needs=("root", "mount"), is_quick=False, items=500,
    ),
)  # fmt: skip
