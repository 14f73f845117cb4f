"""`nightshift eval`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nightshift.cli.output import json_option, print_json, print_rows, say
from nightshift.cli.summary import shown_path
from nightshift.settings import load_settings
from nightshift.stack import open_store

if TYPE_CHECKING:
    from producer.judging.evaluation import Evaluation


@click.command(short_help="Judge a job by labelled data: mAP, class by class.")
@click.argument("job")
@click.option("--truth", required=True, type=click.Path(path_type=Path, dir_okay=False), help="COCO file.")
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="Folder for a report.")
@click.option("--allow-missing", is_flag=True, help="Judge what is there, if the job has not all of the pictures.")
@json_option
def eval(job: str, truth: Path, output: Path | None, allow_missing: bool, as_json: bool) -> None:  # noqa: A001
    """Judge a job by labelled data in COCO's form: mAP 50:95, 50 and 75, recall, class by class.

    Pictures are told by their paths, which end with the truth's file names; classes by name. Boxes are judged, masks
    and key points where both sides have them.
    """
    from producer.judging.evaluation import evaluate, read_truth
    from producer.judging.evaluation.report import write_report

    labelled = read_truth(truth)
    with open_store(load_settings()) as store:
        status = store.status(store.find_job(job))
        found = evaluate(status, store.results(status.job_id), labelled, allow_missing=allow_missing)
    if as_json:
        print_json(found)
    else:
        _tell(found)
    if output is not None:
        say("wrote", shown_path(write_report(found, output.absolute())))


def _tell(found: Evaluation) -> None:
    from producer.judging.evaluation.report import notes
    from producer.judging.page import shown

    for note in notes(found):
        say("", note)
    names = ("in truth", "found", "AP 50:95", "AP 50", "AP 75", "AR 50:95")
    for figures in found.kinds:
        counts = (sum(each.truth for each in figures.classes), sum(each.found for each in figures.classes))
        rows: list[tuple[object, ...]] = [("all", *counts, figures.ap, figures.ap50, figures.ap75, figures.ar)]
        rows += [(f"all, {size}", None, None, ap, None, None, figures.ar_by_size[size])
                 for size, ap in figures.ap_by_size.items()]  # fmt: skip
        rows += [(c.name, c.truth, c.found, c.ap, c.ap50, c.ap75, c.ar) for c in figures.classes]
        print_rows((figures.kind, *names), [[shown(cell) for cell in row] for row in rows])
