"""A comparison as a folder: `index.html` with the worst pairs side by side, `report.json`, and Label Studio tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from producer.exports.atomic import atomic_folder
from producer.exports.pictures import PictureFailed
from producer.judging.comparison.figures import Change, Comparison, Difference, ItemDifference, Kind, Side
from producer.judging.label_studio import write_tasks
from producer.judging.page import figure, heading, page, paragraph, shown, table
from producer.judging.pictures import picture_file

if TYPE_CHECKING:
    from jobstore.views import ResultRow

_INDEX = "index.html"


def write_report(comparison: Comparison, worst: Sequence[tuple[ResultRow, ResultRow]], dest: Path) -> Path:
    """Write the folder `dest`, in place of an earlier report; gives its page.

    Args:
        worst: the rows of `comparison.worst`, in the same order.

    Raises:
        ExportFailed: the disk refuses, or `dest` holds something else; nothing is visible then.
    """
    versions = f"a: {comparison.a.job_id}", f"b: {comparison.b.job_id}"
    columns = [{"disagreement": item.difference.disagreement} for item in comparison.worst]
    with atomic_folder(dest, _INDEX) as folder:
        figures = [_figure(item, rows, folder) for item, rows in zip(comparison.worst, worst, strict=True)]
        (folder / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(comparison), indent=2) + b"\n")
        write_tasks(folder / "label-studio.json", versions, worst, columns)
        parts = [*summary(comparison), heading("Worst first: left a, right b"), *figures]
        (folder / _INDEX).write_text(page("Two jobs compared", parts), encoding="utf-8")
    return dest / _INDEX


def summary(comparison: Comparison) -> Iterator[str]:
    """The figures as parts of a page."""
    yield paragraph(headline(comparison))
    columns = [_column(side) for side in (comparison.a, comparison.b)]
    yield table(("", "a", "b"), [(name, a, b) for (name, a), (_, b) in zip(*columns, strict=True)])
    yield from map(paragraph, comparison.problems)
    if comparison.figures:
        yield heading("Figures, mean over pictures")
        yield table(("figure", "mean"), comparison.figures.items())
    if comparison.classes:
        yield heading("Classes")
        yield table(class_columns(), class_rows(comparison))


def headline(comparison: Comparison) -> str:
    """The comparison in a sentence."""
    words = [f"{comparison.pairs:,} pictures in both jobs, {comparison.same:,} of them with the same record"]
    if comparison.disagreement is not None:
        words.append(f"mean disagreement {shown(comparison.disagreement)}")
    words += [f"{count:,} {kind}" for kind, count in comparison.counts.items() if count]
    words += [
        f"{count:,} {what}"
        for count, what in (
            (comparison.only_a, "only in a"),
            (comparison.only_b, "only in b"),
            (comparison.failed_a, "failed in a alone"),
            (comparison.failed_b, "failed in b alone"),
            (comparison.failed_both, "failed in both"),
            (comparison.not_comparable, "cannot be compared"),
        )
        if count
    ]
    return f"{', '.join(words)}."


def class_columns() -> tuple[str, ...]:
    """Names of the columns of `class_rows`."""
    return "class", "a", "b", "matched", "missing", "new", "flipped to", "overlap", "score shift"


def class_rows(comparison: Comparison) -> list[tuple[object, ...]]:
    """A row a class, those that changed most first."""
    return [
        (each.name, each.a, each.b, each.matched, each.missing, each.new,
         ", ".join(f"{name} {count:,}" for name, count in each.flipped.items()),
         each.mean_overlap, each.mean_score_shift)
        for each in comparison.classes
    ]  # fmt: skip


def _column(side: Side) -> list[tuple[str, object]]:
    params = ", ".join(f"{key} {value}" for key, value in side.params.items())
    return [
        ("job", side.job_id), ("name", side.name), ("model", side.model), ("package", side.digest or ""),
        ("parameters", params), ("ran on", "; ".join(side.decisions)), ("state", side.state),
        ("images/s", side.images_per_second),
    ]  # fmt: skip


def _figure(item: ItemDifference, rows: tuple[ResultRow, ResultRow], folder: Path) -> str:
    words = f"disagreement {shown(item.difference.disagreement)}: {_words(item.difference)}"
    name = item.uri_a if not item.frame else f"{item.uri_a}, frame {item.frame}"
    try:
        file, hw = picture_file(rows, folder)
    except PictureFailed as error:
        return figure(None, (0, 0), name, words, f"no picture: {error}")
    return figure(file, hw, name, words)


def _words(difference: Difference) -> str:
    """What became of the objects, by class, then the task's figures."""
    words = []
    for kind in Kind:
        told = Counter(_classes(change) for change in difference.changes if change.kind is kind)
        if told:
            words.append(f"{kind}: {', '.join(f'{count} {name}' for name, count in told.most_common())}")
    return "; ".join([*words, *(f"{name} {shown(value)}" for name, value in difference.figures.items())])


def _classes(change: Change) -> str:
    return " -> ".join(dict.fromkeys(name for name in (change.class_a, change.class_b) if name is not None))
