"""`nightshift review`."""

from __future__ import annotations

from pathlib import Path

import click

from nightshift.cli.output import json_option, print_json, print_rows, say
from nightshift.cli.summary import shown_path
from nightshift.settings import load_settings
from nightshift.stack import open_store


@click.command(short_help="Rank the pictures that the model is least sure of, for people to look at.")
@click.argument("job")
@click.option("-n", "--count", type=click.IntRange(min=1), default=50, show_default=True, help="Pictures at most.")
@click.option("--against", metavar="JOB", help="Rank by how much this job disagrees instead.")
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="Folder for a gallery.")
@json_option
def review(job: str, count: int, against: str | None, output: Path | None, as_json: bool) -> None:
    """Rank the pictures that the model is least sure of, for people to look at.

    By objects near their threshold, by the entropy of class scores, by the confidence in a text, or by how much another
    job over the same pictures disagrees. The gallery has Label Studio tasks beside it.
    """
    from producer.judging.comparison import pair_rows
    from producer.judging.page import shown
    from producer.judging.review import review as rank
    from producer.judging.review import review_against
    from producer.judging.review.report import write_report

    with open_store(load_settings()) as store:
        status = store.status(store.find_job(job))
        if against is None:
            found, rows = rank(status, lambda: store.results(status.job_id), count)
        else:
            other = store.find_job(against)
            found, rows = review_against(status, pair_rows(store.results(status.job_id), store.results(other)), count)
    if as_json:
        print_json(found)
    else:
        say(found.measure, f"{len(found.items):,} of {found.images:,} pictures, the most doubtful first")
        print_rows(("doubt", "picture", "why"), [(shown(i.doubt), i.uri, i.words) for i in found.items])
    if output is not None:
        say("wrote", shown_path(write_report(found, rows, output.absolute())))
