"""`nightshift demo`: the main job on pictures that are made for it, so that the result can be judged."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nightshift.cli.follow import follow, tell_done, tell_trouble
from nightshift.cli.output import json_option, print_json, say
from nightshift.cli.request import hardware_here
from nightshift.cli.summary import exit_status, record, tell_exports
from nightshift.settings import Settings, load_settings
from workers.logs import configure_logging

if TYPE_CHECKING:
    from jobstore.schema import DecisionRow
    from jobstore.views import JobStatus
    from nightshift.demo import Judgement

#: A little below the model's own threshold: the metric rewards boxes that are found with less certainty.
_CONFIDENCE = 0.25


@click.command(short_help="Make pages of handwritten digits, label them, judge the result.")
@click.option("--pages", default=200, show_default=True, type=click.IntRange(min=1), help="Pages to make.")
@click.option("-o", "--output", default="demo-out", show_default=True, type=click.Path(path_type=Path, file_okay=False))
@click.option("--backend", help="Take this backend: torch or onnx.")
@click.option("--quantization", help="Take this precision: fp32 or int8.")
@json_option
def demo(pages: int, output: Path, backend: str | None, quantization: str | None, as_json: bool) -> int:
    """Make pages of handwritten digits, label them with the starter model, and judge the result.

    Runs what `nightshift run` runs (Redis, SQL, a worker process), in a data folder of its own. The digits are real
    scans that the model never saw.
    """
    from nightshift.demo import judge, make_pages

    output = output.absolute()
    settings = _own_settings(load_settings(), output / "data")
    configure_logging(settings.quiet_log_level, settings.log_format)
    shutil.rmtree(output / "pages", ignore_errors=True)
    say("pages", f"{pages} of held-out handwritten digits, with their truth, in {output / 'pages'}")
    truth = make_pages(output / "pages", pages)
    wishes = {name: value for name, value in (("backend", backend), ("quantization", quantization)) if value}
    status, decision, judged = _label(settings, output, wishes, lambda status, rows: judge(status, truth, rows))
    tell_trouble(status)
    if decision is None or judged is None:
        return exit_status(status)
    if as_json:
        print_json(record(status, (), decisions=[decision], map50=judged.map50, map50_95=judged.map50_95))
    else:
        _print_table(status, decision, judged)
    say("open", f"{output / 'previews/index.html'}")
    return exit_status(status)


def _own_settings(settings: Settings, data_dir: Path) -> Settings:
    """The settings with a data folder of the demo's own, whatever is configured."""
    return settings.model_copy(update={"data_dir": data_dir, "broker_url": None, "database_url": None})


def _label(
    settings: Settings, output: Path, wishes: dict[str, str], judge: Any
) -> tuple[JobStatus, DecisionRow | None, Judgement | None]:
    from jobstore.schema import JobSpec
    from nightshift.stack import open_stack
    from producer.exporting import export_job
    from producer.sources import expand

    hardware = hardware_here("auto")
    with open_stack(settings, with_workers=True, hardware=hardware, log_level=settings.quiet_log_level) as stack:
        say("embedded", stack.describe(hardware))
        spec = JobSpec(
            model="digits", name="demo", params={"confidence": _CONFIDENCE}, wishes=wishes, hardware=(hardware,)
        )
        status = follow(stack, stack.gateway.submit(spec, expand([output / "pages"])))
        tell_done(stack.store, status)
        decisions = stack.store.decisions(status.job_id)
        if not decisions:
            return status, None, None
        tell_exports(export_job(stack.gateway, status.job_id, ["coco", "jsonl", "previews"], output))
        return status, decisions[0], judge(status, stack.store.results(status.job_id))


def _print_table(status: JobStatus, decision: DecisionRow, judged: Judgement) -> None:
    """Every candidate with its verdict, then what came out."""
    click.echo(f"\n{'package':20}{'backend':9}{'precision':11}{'verdict':10}reason")
    for candidate in decision.candidates:
        reasons = "; ".join(f"{reason['code']}: {reason['message']}" for reason in candidate["reasons"])
        click.echo(
            f"{candidate['package_id']:20}{candidate['backend']:9}{candidate['quantization']:11}"
            f"{candidate['verdict']:10}{reasons}"
        )
    seconds = status.elapsed_s
    click.echo(
        f"\n{'pages':>8}{'digits found':>14}{'failed':>8}{'seconds':>9}{'images/s':>10}{'mAP50':>8}{'mAP50-95':>10}\n"
        f"{status.total:>8}{status.objects:>14,}{status.failed:>8}{seconds:>9.1f}{status.done / seconds:>10.1f}"
        f"{judged.map50:>8.3f}{judged.map50_95:>10.3f}\n"
    )
