"""Models that harm their process: by one picture, or by a batch that is too large."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import text

from jobstore.schema import JobId
from tests.faults.fault import Fault, nothing
from tests.faults.system import LEASE_S, System

#: The picture that harms; in the middle of a shard of sixteen.
GUILTY = 711
#: Limits of one stage of an item and of one run of the model here; a fleet has 60 and 120. A process that is silent for
#: a run and a lease is replaced: a slow machine needs as much for its start.
ITEM_S, FORWARD_S = 6.0, 10.0
#: Images of a run that the pretended memory holds.
FITS = 3

#: What a slow picture takes: four leases, and less than `worker.item_timeout_s`.
SLOW_S = 4 * LEASE_S

_CODE = '''
import ctypes
import os
import time

import numpy as np

from inference_engine import Detections
from inference_engine.developer_tools import as_rgb_images

HARM = {
    "abort": os.abort,
    "null pointer": lambda: ctypes.string_at(0),
    "sleep": lambda: time.sleep(3600),
    "slow": lambda: slowly(),
    "spin": lambda: ctypes.PyDLL(None).sleep(3600),  # unlike CDLL, with Python's lock in its hands
}


def slowly():
    with open(os.environ["FAULT_RUNS"], "a") as runs:
        runs.write(".")
    time.sleep($SLOW_S)


class Colours:
    """The answer of `tests/faults/model.py`, but for one picture."""

    class_names = ("colour",)

    def __init__(self, folder, *, device="cpu", guilty=-1, harm=""):
        self.guilty, self.harm = guilty, HARM[harm]

    def __call__(self, images, *, input_color_format=None):
        return [self.look(image) for image in as_rgb_images(images, input_color_format)]

    def look(self, image):
        red, green, blue = (int(value) for value in image[0, 0])
        if blue + 256 * green == self.guilty:
            self.harm()
        width, height = 4 + 4 * green / 255, 4 + 4 * blue / 255
        box = np.array([[8 - width / 2, 8 - height / 2, 8 + width / 2, 8 + height / 2]], np.float32)
        score = np.array([0.5 + 0.5 * red / 255], np.float32)
        return Detections(box, score, np.zeros(1, np.int64), image.shape[:2], self.class_names)
'''


def write_guilty_model(folder: Path, harm: str) -> Path:
    """A package with code of its own, which acts as it likes once it is trusted."""
    folder.mkdir()
    (folder / "model.py").write_text(_CODE.replace("$SLOW_S", str(SLOW_S)), encoding="utf-8")
    (folder / "class_names.txt").write_text("colour\n", encoding="utf-8")
    config = {
        "schema_version": 1,
        "model_id": "guilty",
        "package_id": "guilty-python",
        "task_type": "object-detection",
        "model_module": "model.py",
        "model_class": "Colours",
        "model_initialization": {"guilty": GUILTY, "harm": harm},
    }
    (folder / "model_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def _guilty(harm: str, **limits: float) -> Callable[[System], None]:
    """Args: limits: of the machines, where the fault ends by one; others would end what is slow and innocent."""

    def prepare(system: System) -> None:
        system.model = write_guilty_model(system.folder / "guilty", harm)
        system.options |= {"allow_local_code_packages": True, **limits}

    return prepare


def _slow(system: System) -> None:
    _guilty("slow")(system)
    system.environment = {"FAULT_RUNS": str(system.folder / "slow_runs")}


def _ran_once(system: System, job_id: JobId) -> None:
    """The slow picture was begun once, and its lease was kept by renewing it: no worker was counted as lost."""
    assert (system.folder / "slow_runs").read_text() == ".", "the slow picture was computed more than once"
    (row,) = [row for row in system.store.results(job_id) if row.idx == GUILTY]
    assert row.timings_ms is not None
    assert row.timings_ms["postprocess"] >= SLOW_S * 1000
    assert system.deaths(job_id) == 0, "a death was counted for a worker that renewed its leases"


def _little_memory(system: System) -> None:
    system.environment = {"FAULT_FITS": str(FITS)}


def _submit_in_batches(system: System, count: int) -> JobId:
    return system.submit(count, wishes={"backend": "onnx", "batch_size": 8})


def _largest_batch_is_known(system: System, _: JobId) -> None:
    """The fleet learned what fits, and nobody failed for it."""
    with system.store._db._reader.connect() as database:
        sizes = database.execute(text("SELECT max_batch_size FROM learned_batches")).scalars().all()
    assert sizes, "no batch size was learned"
    assert all(1 <= size <= FITS for size in sizes), f"learned {sizes}, {FITS} images fit"


#: Deaths until the picture is given up: three of its shard of 16, one each of 8, 4 and 2, two alone, as
#: `jobstore.relay_statements` has it; each costs a start.
_DEATHS = 8
#: A hung process is silent for a forward and a lease, 12 s, before it is replaced, and may hold SQLite's write lock for
#: as long (decision 0010), so that none of the deaths overlap: 8 * 12 s, and half a second before each start.
_HANGS_S = _DEATHS * (FORWARD_S + LEASE_S + 0.5)
FAULTS = (
    Fault(
        "F10", "abort() on one picture", nothing, prepare=_guilty("abort"),
        fails={GUILTY: "worker_lost"}, items=800, starts=_DEATHS, lasts_s=30,
    ),
    Fault(
        "F10b", "a null pointer on one picture", nothing, prepare=_guilty("null pointer"),
        fails={GUILTY: "worker_lost"}, items=800, starts=_DEATHS, lasts_s=30, is_quick=False,
    ),
    Fault(
        "F13", "a call that keeps Python's lock on one picture", nothing,
        prepare=_guilty("spin", forward_timeout_s=FORWARD_S),
        fails={GUILTY: "worker_lost"}, items=800, starts=_DEATHS, lasts_s=_HANGS_S, is_quick=False,
    ),
    Fault(
        "F15", "a call without end on one picture", nothing, prepare=_guilty("sleep", item_timeout_s=ITEM_S),
        fails={GUILTY: "item_timeout"}, items=800, starts=2, lasts_s=ITEM_S + 4,
    ),
    Fault(
        # With one worker: an idle one would be offered the job's last shard, which is meant so (`jobstore.stragglers`).
        "F16", "a picture that takes four leases", nothing, prepare=_slow, check=_ran_once,
        items=800, lasts_s=SLOW_S, machines=1,
    ),
    Fault(
        "F37", f"memory for batches of {FITS} where 8 are asked for", nothing, prepare=_little_memory,
        submit=_submit_in_batches, check=_largest_batch_is_known, items=500,
    ),
)  # fmt: skip
