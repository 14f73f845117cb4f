"""`nightshift preview` and `nightshift open`: what a job found, as pictures."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nightshift.cli.errors import ERROR
from nightshift.cli.output import count, json_option, print_json, say
from nightshift.cli.summary import shown_path
from nightshift.settings import Settings, load_settings
from nightshift.stack import open_client
from producer.ending import short

if TYPE_CHECKING:
    from producer.exports import ExportSummary

#: Pictures of a look at a job.
_LOOK = 24


@click.command()
@click.argument("job")
@click.option("-n", "--number", type=click.IntRange(min=1), default=_LOOK, show_default=True, help="Pictures at most.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="Folder [default: preview-JOB here]."
)
@json_option
def preview(job: str, number: int, output: Path | None, as_json: bool) -> None:
    """Draw some of a job's pictures with what was found, on a page of their own."""
    summary = _draw(job, number, output, load_settings())
    page = summary.path / "index.html"
    if as_json:
        print_json({"page": page, "pictures": summary.items, "objects": summary.objects, "problems": summary.problems})
        return
    for problem in summary.problems:
        say("", problem)
    say("drawn", count(summary.items, "picture"))
    click.echo(shown_path(page))


@click.command()
@click.argument("job")
@click.option("--print", "only_print", is_flag=True, help="Print the address and open nothing.")
@json_option
def open(job: str, only_print: bool, as_json: bool) -> int:  # noqa: A001
    """Open a job in the browser: its page on the server of the settings, or else some of its pictures."""
    settings = load_settings()
    if settings.api_url:
        with open_client(settings) as stack:
            address = f"{settings.api_url.rstrip('/')}/jobs/{stack.gateway.find(job)}"
    else:
        address = (_draw(job, _LOOK, None, settings, is_kept=False).path / "index.html").as_uri()
    is_open = not only_print and webbrowser.open(address)
    if as_json:
        print_json({"address": address, "is_open": is_open})
    else:
        click.echo(address)
    if not is_open and not only_print:
        say("", "no browser was found here; open the address where there is one")
    return 0 if is_open or only_print else ERROR


def _draw(job: str, number: int, output: Path | None, settings: Settings, *, is_kept: bool = True) -> ExportSummary:
    """Write the export `previews`; what is not kept goes into the data folder, over the last one of the job."""
    from producer.exporting import export_job
    from producer.exports import ExportOptions

    with open_client(settings) as stack:
        job_id = stack.gateway.find(job)
        usual = Path(f"preview-{short(job_id)}") if is_kept else settings.data_dir / "looks" / job_id
        (summary,) = export_job(
            stack.gateway, job_id, ["previews"], (output or usual).absolute(), ExportOptions(previews=number)
        )
    return summary
