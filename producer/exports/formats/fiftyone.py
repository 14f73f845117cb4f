"""FiftyOne: `fiftyone/labels.json` in COCO's form, and `fiftyone/import_dataset.py`, which loads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.exports.atomic import atomic_folder
from producer.exports.coco import CocoWriter
from producer.exports.records import Kind
from producer.exports.summary import ExportSummary, contents

if TYPE_CHECKING:
    from pathlib import Path

    from producer.exports.dataset import Dataset

TAKES = {Kind.BOXES, Kind.MASKS, Kind.KEY_POINTS}
_MAIN = "labels.json"
_SNIPPET = """\
import pathlib
import fiftyone as fo

here, pictures, name = pathlib.Path(__file__).parent, {root!r}, {name!r}
load = dict(dataset_type=fo.types.COCODetectionDataset, label_types={label_types!r})
dataset = fo.Dataset.from_dir(data_path=pictures, labels_path=str(here / {labels!r}), name=name, **load)
fo.launch_app(dataset).wait()
"""


def export(dataset: Dataset, dest: Path) -> ExportSummary:
    """Write `dest/fiftyone`; the script names the folder where the job found its pictures."""
    path = dest / "fiftyone"
    with atomic_folder(path, _MAIN) as folder:
        with (folder / _MAIN).open("wb") as output:
            writer = CocoWriter(output, None, folder)
            writer.write(dataset)
        (folder / "import_dataset.py").write_text(_snippet(dataset), encoding="utf-8")
        written = contents(folder, path, _MAIN)
    return ExportSummary("fiftyone", path, writer.images, writer.objects, written)


def _snippet(dataset: Dataset) -> str:
    kinds, job = dataset.survey.kinds, dataset.job
    wanted = {"detections": Kind.BOXES, "segmentations": Kind.MASKS, "keypoints": Kind.KEY_POINTS}
    label_types = [name for name, kind in wanted.items() if kind in kinds]
    name, root = job.name or f"{job.model} {job.job_id}", dataset.survey.root.folder
    return _SNIPPET.format(name=name, label_types=label_types, root=root, labels=_MAIN)
