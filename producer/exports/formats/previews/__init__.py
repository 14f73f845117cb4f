"""`previews/`: a sample of the pictures with what was found in them, and a page that shows them without JavaScript."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from jobstore.schema import OutcomeState
from producer.exports.atomic import atomic_folder
from producer.exports.formats.previews.drawing import PreviewFailed, decode, draw_preview
from producer.exports.formats.previews.gallery import Failure, Figure, Gallery, write_gallery
from producer.exports.naming import CommonRoot
from producer.exports.summary import ExportSummary, count_objects
from videos.errors import VideoUnreadable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jobstore.schema import DecisionRow
    from jobstore.views import JobStatus, ResultRow
    from producer.exports.formats.previews.drawing import Image

DEFAULT_LIMIT = 200
_MAX_FAILURES = 500
# A picture's file was within the workers' limit when it was labelled; since then it may have been replaced.
_MAX_FILE_BYTES = 256 * 1024 * 1024
_INDEX = "index.html"


@dataclass(slots=True)
class _Chosen:
    """What is kept of the stream: never more than the limits, however large the job."""

    rows: list[ResultRow] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    root: CommonRoot = field(default_factory=CommonRoot)


def export(
    job: JobStatus,
    rows: Iterable[ResultRow],
    decisions: Mapping[str, DecisionRow],
    dest: Path,
    *,
    limit: int = DEFAULT_LIMIT,
) -> ExportSummary:
    """Write `dest/previews/index.html` and up to `limit` pictures, taken evenly over the job, with their folders.

    A picture that cannot be read again is listed on the page and in `problems`; it does not end the export.
    """
    path = dest / "previews"
    chosen = _choose(job, rows, limit)
    with atomic_folder(path, _INDEX) as folder:
        figures, problems = _draw_all(chosen, folder)
        failures = [*chosen.failures, *problems]
        write_gallery(folder / _INDEX, job, Gallery(figures, failures, tuple(decisions.values())))
    files = (path / _INDEX, *(path / figure.file for figure in figures))
    words = tuple(f"{problem.name}: {problem.message}" for problem in problems)
    return ExportSummary("previews", path, len(figures), sum(figure.objects for figure in figures), files, words)


def _choose(job: JobStatus, rows: Iterable[ResultRow], limit: int) -> _Chosen:
    chosen, total, seen = _Chosen(), max(job.ok + job.cached, 1), 0
    for row in rows:
        if row.holds_prediction:
            chosen.root.add(row.uri)
            is_due = total <= limit or seen * limit // total != (seen + 1) * limit // total
            if is_due and len(chosen.rows) < limit:
                chosen.rows.append(row)
            seen += 1
        elif row.state is OutcomeState.FAILED and row.error and len(chosen.failures) < _MAX_FAILURES:
            chosen.failures.append(Failure(row.uri, row.error.code, row.error.message))
    return chosen


def _draw_all(chosen: _Chosen, folder: Path) -> tuple[list[Figure], list[Failure]]:
    figures, problems, taken = [], [], set[str]()
    for row in chosen.rows:
        name = chosen.root.relative(row.uri, row.frame)
        file = _free_name(name, taken)
        try:
            hw = draw_preview(_pixels(row), row.record or {}, row.blob, folder / file)
        except PreviewFailed as error:
            problems.append(Failure(row.uri, "preview_failed", str(error)))
            continue
        figures.append(Figure(name, file, hw, tuple((row.record or {}).get("class_name") or ()), count_objects(row)))
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


def _pixels(row: ResultRow) -> Image:
    if not row.frame:
        return decode(_read(row.uri))
    from videos.reading import Video

    try:
        with _path(row.uri).open("rb") as file, Video(file) as video:
            found = next(video.frames(video.timeline(), [row.frame - 1]), None)
    except (OSError, VideoUnreadable) as error:
        raise PreviewFailed(f"the video cannot be read any more: {error}") from error
    if found is None:
        raise PreviewFailed("the frame cannot be decoded any more")
    return found.image[:, :, ::-1].copy()


def _path(uri: str) -> Path:
    """Where a local, regular file lies."""
    path = os.fsdecode(unquote_to_bytes(uri.removeprefix("file://"))) if uri.startswith("file://") else uri
    if "://" in path:
        raise PreviewFailed("only local files are read for previews")
    if not Path(path).is_file():
        raise PreviewFailed("the file cannot be read any more, or is no regular file")
    return Path(path)


def _read(uri: str) -> bytes:
    path = _path(uri)
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise PreviewFailed("the file is too large")
        return path.read_bytes()
    except OSError as error:
        raise PreviewFailed(f"the file cannot be read any more: {error.strerror}") from error
