"""`coco/annotations.json` (COCO objects, with scores) and `coco/results.json` (a COCO results list).

Masks are run lengths; key points are in both files, and their names and lines in the categories.

Field definitions: https://cocodataset.org/#format-data and #format-results.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any

import msgspec

from producer.errors import ExportFailed
from producer.exports.annotations import DECIMALS, annotation_shapes, category_points
from producer.exports.atomic import atomic_file
from producer.exports.naming import CommonRoot
from producer.exports.summary import ExportSummary

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from jobstore.schema import DecisionRow
    from jobstore.views import JobStatus, ResultRow

_SPOOL_BYTES = 8 << 20


def export(
    job: JobStatus,
    rows: Iterable[ResultRow],
    decisions: Mapping[str, DecisionRow],  # noqa: ARG001 - every exporter takes the decisions
    dest: Path,
) -> ExportSummary:
    """Write both files below `dest/coco`; items without a record are counted in `info` and are no images.

    An image of a video is one of its frames, `file_name` is `clip.mp4@12` for the twelfth, with `timestamp_s`.

    `category_id` is the model's `class_id` + 1, as 0 is the background of many readers. `file_name` is the path below
    the one folder that holds all pictures, which `info.root` names.
    """
    path, results = dest / "coco" / "annotations.json", dest / "coco" / "results.json"
    with ExitStack() as stack:
        output, results_file = (stack.enter_context(atomic_file(each)) for each in (path, results))
        # Nameless files beside the result: the system's temporary folder may be a small RAM disk.
        folder = str(path.parent)
        parts = _Parts(
            job,
            *(stack.enter_context(tempfile.SpooledTemporaryFile(_SPOOL_BYTES, dir=folder)) for _ in range(3)),
        )
        for row in rows:
            parts.add(row)
        parts.join(output)
        parts.join_results(results_file)
    return ExportSummary("coco", path, parts.images, parts.objects, (path, results))


class _Parts:
    """Images, annotations and results are written apart while rows pass by, and joined at the end."""

    def __init__(self, job: JobStatus, images: IO[bytes], annotations: IO[bytes], results: IO[bytes]) -> None:
        self._job = job
        self._files = {"images": images, "annotations": annotations, "results": results}
        self._encode = msgspec.json.Encoder().encode
        self._root = CommonRoot()
        self._categories = dict(enumerate(job.class_names or ()))
        self._points: dict[int, dict[str, Any]] = {}
        self._states: Counter[str] = Counter()
        self.images = 0
        self.objects = 0

    def add(self, row: ResultRow) -> None:
        self._states[row.state.value] += 1
        if not row.holds_prediction or row.record is None:
            return
        if "xyxy" not in row.record:
            raise ExportFailed(
                f"coco takes boxes, and item {row.idx} has a record of task {row.record.get('task')!r}; use jsonl"
            )
        self._root.add(row.uri)
        self.images += 1
        height, width = row.record["image_hw"]
        # The name waits for the common root.
        self._files["images"].write(self._encode((row.uri, row.frame, row.timestamp_s, row.idx, width, height)) + b"\n")
        self._points |= category_points(row.record)
        columns = (row.record[key] for key in ("xyxy", "confidence", "class_id", "class_name"))
        for box, shapes in zip(zip(*columns, strict=True), annotation_shapes(row.record), strict=True):
            self._add_box(box, *shapes)

    def _add_box(self, box: tuple[Any, ...], shared: Mapping[str, Any], more: Mapping[str, Any]) -> None:
        xyxy, score, class_id, class_name = box
        self._categories.setdefault(class_id, class_name)
        x, y = round(xyxy[0], DECIMALS), round(xyxy[1], DECIMALS)
        width, height = round(xyxy[2] - x, DECIMALS), round(xyxy[3] - y, DECIMALS)
        result = {
            "image_id": self.images,
            "category_id": class_id + 1,
            "bbox": (x, y, width, height),
            "score": round(score, 6),
            **shared,
        }
        annotation = {**result, "id": self.objects + 1, "area": round(width * height, DECIMALS), "iscrowd": 0, **more}
        for name, value in (("annotations", annotation), ("results", result)):
            self._files[name].write((b",\n" if self.objects else b"") + self._encode(value))
        self.objects += 1

    def join(self, output: IO[bytes]) -> None:
        """Write the whole dataset; its images last read back line by line, now that their names are known."""
        categories = [
            {"id": key + 1, "name": name, "supercategory": "", **self._points.get(key, {})}
            for key, name in sorted(self._categories.items())
        ]
        output.write(b'{"info":%b,\n"licenses":[],\n' % self._encode(self._info()))
        output.write(b'"categories":%b,\n"images":[\n' % self._encode(categories))
        self._files["images"].seek(0)
        for number, line in enumerate(self._files["images"]):
            output.write((b",\n" if number else b"") + self._encode(self._image(number + 1, line)))
        output.write(b'\n],\n"annotations":[\n')
        self._copy("annotations", output)
        output.write(b"\n]}\n")

    def join_results(self, output: IO[bytes]) -> None:
        """Write the bare list that evaluators load beside a ground truth with the same image ids."""
        output.write(b"[\n")
        self._copy("results", output)
        output.write(b"\n]\n")

    def _copy(self, name: str, output: IO[bytes]) -> None:
        self._files[name].seek(0)
        shutil.copyfileobj(self._files[name], output)

    def _image(self, number: int, line: bytes) -> dict[str, Any]:
        uri, frame, timestamp_s, idx, width, height = msgspec.json.decode(line)
        name = self._root.relative(uri, frame)
        image = {"id": number, "file_name": name, "width": width, "height": height, "idx": idx}
        return image if timestamp_s is None else {**image, "timestamp_s": timestamp_s}

    def _info(self) -> dict[str, Any]:
        job = self._job
        day = datetime.fromtimestamp(job.finished or job.now, UTC)
        return {
            "description": f"{job.name}: predictions of {job.model}",
            "version": "1.0",
            "year": day.year,
            "date_created": day.isoformat(timespec="seconds"),
            "contributor": "nightshift",
            "url": "",
            "root": self._root.folder,
            "job": job.job_id,
            "model": job.model,
            "model_digest": job.model_digest,
            "items": dict(sorted(self._states.items())),
        }
