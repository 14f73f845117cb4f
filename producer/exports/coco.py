"""The COCO file and the results list, written while pictures pass by.

Field definitions: https://cocodataset.org/#format-data and #format-results.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any

import msgspec

from producer.exports.annotations import DECIMALS, annotation_shapes, category_points, corners_wh, threshold_of
from producer.exports.records import instances

if TYPE_CHECKING:
    from pathlib import Path

    from producer.exports.dataset import Dataset, Picture
    from producer.exports.records import Instance

_SPOOL_BYTES = 8 << 20


class CocoWriter:
    """Images go straight to the file; annotations are kept in a nameless file beside it until the last image is in.

    `category_id` is the model's `class_id` + 1, as 0 is the background of many readers. `file_name` is the path below
    the one folder that holds all pictures, which `info.root` names.
    """

    def __init__(self, output: IO[bytes], results: IO[bytes] | None, folder: Path) -> None:
        """Begin.

        Args:
            results: gets the bare list that evaluators load beside a ground truth with the same image ids.
            folder: of the nameless file: the system's temporary folder may be a small RAM disk.
        """
        self._output, self._results = output, results
        self._annotations = tempfile.SpooledTemporaryFile(_SPOOL_BYTES, dir=str(folder))  # noqa: SIM115 (see write)
        self._encode = msgspec.json.Encoder().encode
        self.images = 0
        self.objects = 0

    def write(self, dataset: Dataset) -> None:
        """Write everything."""
        with self._annotations:
            self._begin(dataset)
            for picture in dataset.pictures():
                self._add(picture)
            self._output.write(b'\n],\n"annotations":[\n')
            self._annotations.seek(0)
            shutil.copyfileobj(self._annotations, self._output)
            self._output.write(b"\n]}\n")
            if self._results:
                self._results.write(b"\n]\n")

    def _begin(self, dataset: Dataset) -> None:
        survey = dataset.survey
        points = category_points({"skeletons": survey.skeletons})
        categories = [
            {"id": key + 1, "name": name, "supercategory": "", **points.get(key, {})}
            for key, name in sorted(survey.class_names.items())
        ]
        self._output.write(b'{"info":%b,\n"licenses":[],\n' % self._encode(_info(dataset)))
        self._output.write(b'"categories":%b,\n"images":[\n' % self._encode(categories))
        if self._results:
            self._results.write(b"[\n")

    def _add(self, picture: Picture) -> None:
        row, (width, height) = picture.row, picture.wh
        image = {"id": self.images + 1, "file_name": picture.name, "width": width, "height": height, "idx": row.idx}
        if row.timestamp_s is not None:
            image["timestamp_s"] = row.timestamp_s
        self._output.write((b",\n" if self.images else b"") + self._encode(image))
        self.images += 1
        threshold = threshold_of(picture.record)
        for instance in instances(picture.record):
            self._add_object(instance, *annotation_shapes(instance, threshold))

    def _add_object(self, instance: Instance, shared: Mapping[str, Any], more: Mapping[str, Any]) -> None:
        bbox = corners_wh(instance.xyxy)
        result = {"image_id": self.images, "category_id": instance.class_id + 1, "bbox": bbox, **shared}
        if instance.confidence is not None:
            result["score"] = round(instance.confidence, 6)
        area = round(bbox[2] * bbox[3], DECIMALS)
        annotation = {**result, "id": self.objects + 1, "area": area, "iscrowd": 0, **more}
        separator = b",\n" if self.objects else b""
        self._annotations.write(separator + self._encode(annotation))
        if self._results:
            self._results.write(separator + self._encode(result))
        self.objects += 1


def _info(dataset: Dataset) -> dict[str, Any]:
    job = dataset.job
    day = datetime.fromtimestamp(job.finished or job.now, UTC)
    return {
        "description": f"{job.name}: predictions of {job.model}",
        "version": "1.0",
        "year": day.year,
        "date_created": day.isoformat(timespec="seconds"),
        "contributor": "nightshift",
        "url": "",
        "root": dataset.survey.root.folder,
        "job": job.job_id,
        "model": job.model,
        "model_digest": job.model_digest,
        "items": dict(sorted(dataset.survey.states.items())),
    }
