"""A look at it: `previews/index.html` and a sample of the pictures with what was found drawn on them.

The page needs no JavaScript.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobstore.schema import OutcomeState
from producer.exports.atomic import atomic_folder
from producer.exports.formats.previews.drawing import draw_preview
from producer.exports.formats.previews.gallery import Failure, Figure, Gallery, write_gallery
from producer.exports.pictures import PictureFailed, read_picture
from producer.exports.records import EVERY_KIND
from producer.exports.summary import ExportSummary, count_objects

if TYPE_CHECKING:
    from pathlib import Path

    from producer.exports.dataset import Dataset, Picture

TAKES = EVERY_KIND
_MAX_FAILURES = 500
_INDEX = "index.html"


@dataclass(slots=True)
class _Chosen:
    """What is kept of the stream: never more than the limits, however large the job."""

    pictures: list[Picture] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def export(dataset: Dataset, dest: Path) -> ExportSummary:
    """Write `dest/previews/index.html` and up to `options.previews` pictures with their folders, taken evenly.

    A picture that cannot be read again is listed on the page and in `problems`; it does not end the export.
    """
    path = dest / "previews"
    chosen = _choose(dataset, dataset.options.previews)
    with atomic_folder(path, _INDEX) as folder:
        figures, problems = _draw_all(chosen.pictures, folder)
        failures = [*chosen.failures, *problems]
        write_gallery(folder / _INDEX, dataset.job, Gallery(figures, failures, tuple(dataset.decisions.values())))
    files = (path / _INDEX, *(path / figure.file for figure in figures))
    words = tuple(f"{problem.name}: {problem.message}" for problem in problems)
    return ExportSummary("previews", path, len(figures), sum(figure.objects for figure in figures), files, words)


def _choose(dataset: Dataset, limit: int) -> _Chosen:
    chosen, total, seen = _Chosen(), max(dataset.job.ok + dataset.job.cached, 1), 0
    for row in dataset.rows():
        if picture := dataset.named(row):
            is_due = total <= limit or seen * limit // total != (seen + 1) * limit // total
            if is_due and len(chosen.pictures) < limit:
                chosen.pictures.append(picture)
            seen += 1
        elif row.state is OutcomeState.FAILED and row.error and len(chosen.failures) < _MAX_FAILURES:
            chosen.failures.append(Failure(row.uri, row.error.code, row.error.message))
    return chosen


def _draw_all(pictures: list[Picture], folder: Path) -> tuple[list[Figure], list[Failure]]:
    figures, problems, taken = [], [], set[str]()
    for picture in pictures:
        row, record = picture.row, picture.record
        file = _free_name(picture.name, taken)
        try:
            hw = draw_preview(read_picture(row), record, row.blob, folder / file)
        except PictureFailed as error:
            problems.append(Failure(row.uri, "preview_failed", str(error)))
            continue
        names = tuple(record.get("class_name") or ())
        figures.append(Figure(picture.name, file, hw, names, count_objects(record)))
    return figures, problems


def _free_name(name: str, taken: set[str]) -> str:
    """A path of its own below `images/`: JPEG and PNG keep their ending, others get `.jpg` after their own."""
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 - a text, not a path of this machine
    if suffix.lower() not in {".jpg", ".jpeg", ".png"}:
        stem, suffix = name, ".jpg"
    file, number = f"images/{stem}{suffix}", 2
    while file.lower() in taken:
        file, number = f"images/{stem}-{number}{suffix}", number + 1
    taken.add(file.lower())
    return file
