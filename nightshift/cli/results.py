"""`nightshift results` and `nightshift export`."""

from __future__ import annotations

from pathlib import Path

import click

from nightshift.cli.output import json_option, print_json
from nightshift.cli.summary import tell_exports
from nightshift.settings import load_settings
from nightshift.stack import open_client, open_store


@click.command()
@click.argument("job")
@click.option("--state", "states", multiple=True, help="Only ok, cached, failed or skipped; may be given again.")
@click.option("--limit", type=click.IntRange(min=1), help="Rows at most.")
@json_option
def results(job: str, states: tuple[str, ...], limit: int | None, as_json: bool) -> None:  # noqa: ARG001
    """Print a job's results, one JSON object a line.

    They come in the order of the items; those that are there already also while the job runs.
    """
    import itertools

    from jobstore.schema import OutcomeState

    if unknown := set(states) - set(OutcomeState):
        raise click.UsageError(f"no state called {unknown.pop()!r}; expected one of {', '.join(OutcomeState)}")
    with open_store(load_settings()) as store:
        rows = store.results(store.find_job(job), states=[OutcomeState(state) for state in states])
        for row in itertools.islice(rows, limit):
            print_json(
                {
                    "idx": row.idx, "frame": row.frame, "uri": row.uri, "state": row.state, "record": row.record,
                    "error": row.error, "timings_ms": row.timings_ms, "metadata": row.metadata,
                }
            )  # fmt: skip


@click.command()
@click.argument("job")
@click.option("-f", "--formats", required=True, metavar="A,B", help="Formats, such as coco,jsonl.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder.")
@json_option
def export(job: str, formats: str, output: Path, as_json: bool) -> None:
    """Write a job's results as a dataset, each format below the folder."""
    names = [name.strip() for name in formats.split(",") if name.strip()]
    with open_client(load_settings()) as stack:
        exports = stack.producer.export(stack.store.find_job(job), names, output.absolute())
    if as_json:
        print_json(exports)
    else:
        tell_exports(exports)
