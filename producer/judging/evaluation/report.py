"""An evaluation as a folder: `index.html` for people, `report.json` for programs, a picture of the curves a kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from producer.exports.atomic import atomic_folder
from producer.judging.evaluation.curves import draw_curves
from producer.judging.evaluation.figures import Evaluation, KindFigures
from producer.judging.page import heading, page, paragraph, shown, table

_INDEX = "index.html"


def write_report(evaluation: Evaluation, dest: Path) -> Path:
    """Write the folder `dest`, in place of an earlier report; gives its page.

    Raises:
        ExportFailed: the disk refuses, or `dest` holds something else; nothing is visible then.
    """
    with atomic_folder(dest, _INDEX) as folder:
        for figures in evaluation.kinds:
            (folder / _picture(figures)).write_text(_curves(figures), encoding="utf-8")
        content = msgspec.json.format(msgspec.json.encode(evaluation), indent=2)
        (folder / "report.json").write_bytes(content + b"\n")
        (folder / _INDEX).write_text(page(f"Evaluation of {evaluation.model}", _parts(evaluation)), encoding="utf-8")
    return dest / _INDEX


def notes(evaluation: Evaluation) -> Iterator[str]:
    """What a reader must know of what was judged and what was not."""
    failed = f", {evaluation.failed:,} of them failed: what they hold counts as missed" if evaluation.failed else ""
    yield f"{evaluation.images:,} pictures of {evaluation.truth} judged{failed}."
    if evaluation.missing:
        yield f"{len(evaluation.missing):,} of its pictures have no outcome in the job and are not judged."
    if evaluation.strangers:
        yield f"{evaluation.strangers:,} of the job's pictures are not in the truth and are not judged."
    if evaluation.unknown_to_truth:
        names = ", ".join(f"{name} {count:,}" for name, count in evaluation.unknown_to_truth.items())
        yield f"Objects of classes that the truth does not have are not judged: {names}."
    if evaluation.unknown_to_model:
        yield f"Classes that the model does not have count as missed: {', '.join(evaluation.unknown_to_model)}."
    yield from (f"Not judged: {note}." for note in evaluation.notes)


def _parts(evaluation: Evaluation) -> Iterator[str]:
    yield from map(paragraph, notes(evaluation))
    for figures in evaluation.kinds:
        yield heading(figures.kind.capitalize())
        names = ("AP 50:95", "AP 50", "AP 75", "AR 50:95")
        rows = [("all sizes", figures.ap, figures.ap50, figures.ap75, figures.ar)]
        rows += [(size, ap, None, None, figures.ar_by_size[size]) for size, ap in figures.ap_by_size.items()]
        yield table(("", *names), rows)
        yield f"<figure>{_curves(figures)}</figure>"
        columns = ("class", "in the truth", "found", *names)
        yield table(columns, ((c.name, c.truth, c.found, c.ap, c.ap50, c.ap75, c.ar) for c in figures.classes))


def _curves(figures: KindFigures) -> str:
    return draw_curves(figures.curves, f"Precision over recall, {figures.kind} at IoU 0.5, AP {shown(figures.ap50)}")


def _picture(figures: KindFigures) -> str:
    return f"curves-{figures.kind.replace(' ', '-')}.svg"
