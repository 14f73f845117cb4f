"""Pictures to look at, as a folder: `index.html`, `report.json` and Label Studio tasks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from producer.exports.atomic import atomic_folder
from producer.exports.pictures import PictureFailed
from producer.judging.label_studio import write_tasks
from producer.judging.page import figure, page, paragraph, shown
from producer.judging.pictures import picture_file
from producer.judging.review.ranking import Review, ReviewItem

if TYPE_CHECKING:
    from jobstore.views import ResultRow

_INDEX = "index.html"


def write_report(review: Review, rows: Sequence[tuple[ResultRow, ...]], dest: Path) -> Path:
    """Write the folder `dest`, in place of an earlier report; gives its page.

    Args:
        rows: of `review.items`, in the same order.

    Raises:
        ExportFailed: the disk refuses, or `dest` holds something else; nothing is visible then.
    """
    with atomic_folder(dest, _INDEX) as folder:
        figures = [_figure(item, mine, folder) for item, mine in zip(review.items, rows, strict=True)]
        (folder / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(review), indent=2) + b"\n")
        columns = [{"doubt": item.doubt} for item in review.items]
        write_tasks(folder / "label-studio.json", (review.model, "the other job"), rows, columns)
        head = f"The {len(review.items):,} most doubtful of {review.images:,} pictures, by {review.measure}."
        (folder / _INDEX).write_text(page(f"Review of {review.model}", [paragraph(head), *figures]), encoding="utf-8")
    return dest / _INDEX


def _figure(item: ReviewItem, rows: tuple[ResultRow, ...], folder: Path) -> str:
    name = item.uri if not item.frame else f"{item.uri}, frame {item.frame}"
    words = f"{shown(item.doubt)}: {item.words}"
    try:
        file, hw = picture_file(rows, folder)
    except PictureFailed as error:
        return figure(None, (0, 0), name, words, f"no picture: {error}")
    return figure(file, hw, name, words)
