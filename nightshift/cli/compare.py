"""`nightshift compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nightshift.cli.output import json_option, print_json, print_rows, say
from nightshift.cli.summary import shown_path
from nightshift.settings import load_settings
from nightshift.stack import open_store

if TYPE_CHECKING:
    from jobstore.store import JobStore
    from producer.judging.comparison import Comparison, Job


@click.command(short_help="Say what two jobs over the same pictures found differently.")
@click.argument("job_a")
@click.argument("job_b")
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="Folder for a report.")
@click.option("-n", "--worst", type=click.IntRange(min=0), default=50, show_default=True, help="Pairs in it at most.")
@json_option
def compare(job_a: str, job_b: str, output: Path | None, worst: int, as_json: bool) -> None:
    """Say what two jobs over the same pictures found differently.

    Pictures are told by their URIs. The report has the pairs that disagree most side by side, and as Label Studio tasks
    with the predictions of both.
    """
    from producer.judging.comparison import compare as compare_jobs
    from producer.judging.comparison import pair_rows
    from producer.judging.comparison.report import write_report

    with open_store(load_settings()) as store:
        a, b = _job(store, job_a), _job(store, job_b)
        pairs = pair_rows(store.results(a.status.job_id), store.results(b.status.job_id))
        found, rows = compare_jobs(a, b, pairs, worst=worst)
    if as_json:
        print_json(found)
    else:
        _tell(found)
    if output is not None:
        say("wrote", shown_path(write_report(found, rows, output.absolute())))


def _job(store: JobStore, text: str) -> Job:
    from producer.judging.comparison import Job

    job_id = store.find_job(text)
    return Job(store.status(job_id), store.decisions(job_id))


def _tell(found: Comparison) -> None:
    from producer.judging.comparison.report import class_columns, class_rows, headline
    from producer.judging.page import shown

    for name, side in (("a", found.a), ("b", found.b)):
        params = ", ".join(f"{key} {value}" for key, value in side.params.items())
        ran = f"{side.model} -> {', '.join(side.decisions) or 'nothing'}"
        say(name, "; ".join(filter(None, (ran, params, f"digest {(side.digest or 'unknown')[:12]}"))))
    say("both", headline(found))
    for problem in found.problems:
        say("", problem)
    for name, value in found.figures.items():
        say("", f"{name} {shown(value)}")
    if found.classes:
        print_rows(class_columns(), [[shown(cell) for cell in row] for row in class_rows(found)])
    for item in found.worst[:5]:
        say("worst", f"{shown(item.difference.disagreement)}  {item.uri_a}")
