"""Models that harm their process: by one picture, or by a batch that is too large."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import text

from jobstore.schema import JobId
from tests.faults.fault import Fault, nothing
from tests.faults.system import System

#: The picture that harms; in the middle of a shard of sixteen.
GUILTY = 711
#: Images of a run that the pretended memory holds.
FITS = 3

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
    "spin": lambda: ctypes.PyDLL(None).sleep(3600),  # unlike CDLL, with Python's lock in its hands
}


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
    (folder / "model.py").write_text(_CODE, encoding="utf-8")
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


def _guilty(harm: str) -> Callable[[System], None]:
    def prepare(system: System) -> None:
        system.model = write_guilty_model(system.folder / "guilty", harm)
        # A process that is silent for a lease and a forward is replaced: a slow machine needs as much for its start.
        limits = {"item_timeout_s": 4.0, "forward_timeout_s": 10.0}
        system.options |= {"allow_local_code_packages": True, **limits}

    return prepare


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


#: Deaths until the picture stands alone: three of its shard of 16, one a halving, one alone; each costs a start.
_DEATHS = 8
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
        "F13", "a call that keeps Python's lock on one picture", nothing, prepare=_guilty("spin"),
        fails={GUILTY: "worker_lost"}, items=800, starts=_DEATHS, lasts_s=100, is_quick=False,
    ),
    Fault(
        "F15", "a call without end on one picture", nothing, prepare=_guilty("sleep"),
        fails={GUILTY: "item_timeout"}, items=800, starts=2, lasts_s=8,
    ),
    Fault(
        "F37", f"memory for batches of {FITS} where 8 are asked for", nothing, prepare=_little_memory,
        submit=_submit_in_batches, check=_largest_batch_is_known, items=500,
    ),
)  # fmt: skip
