"""`nightshift gates`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nightshift.cli.errors import ERROR
from nightshift.cli.output import json_option, plain, print_json, print_rows, say
from nightshift.settings import load_settings
from nightshift.stack import open_store
from producer.ending import short

if TYPE_CHECKING:
    from producer.judging.gates import GateReport

_LIMITS = (
    click.option("--empty-rate-rise", type=click.FloatRange(0, 1), help="Of pictures without any object [0.1]."),
    click.option("--objects-change", type=click.FloatRange(min=0), help="Share, up or down, a picture [0.5]."),
    click.option("--class-distance", type=click.FloatRange(0, 1), help="Of the class mixes, Jensen-Shannon [0.3]."),
    click.option("--failed-rate-rise", type=click.FloatRange(0, 1), help="Of pictures that failed [0.02]."),
    click.option("--speed-share", type=click.FloatRange(0, 1), help="Of the usual images a second [0.5]."),
    click.option("--min-images", type=click.IntRange(min=1), help="Judge no run of fewer pictures [20]."),
)


def _limit_options(command: Any) -> Any:
    for option in reversed(_LIMITS):
        command = option(command)
    return command


@click.command(short_help="Hold a job against the last good runs of the same thing.")
@click.argument("job")
@click.option("--against", multiple=True, metavar="JOB", help="Hold it against this job; may be given again.")
@click.option("--accept", is_flag=True, help="Take a run that failed for a good one: so it shall be from now on.")
@_limit_options
@json_option
def gates(job: str, against: tuple[str, ...], accept: bool, as_json: bool, **given: Any) -> int:
    """Hold a job against the last good runs of the same thing: of its schedule, or of its name, model and task.

    Shares of empty and of failed pictures, objects a picture, the mix of classes, images a second. Exit status 1 if one
    of them lies too far from the nights before. The limits are those of its job file, but for what is given here.
    """
    from producer.judging.gates import GateLimits, judge

    limits = {name: value for name, value in given.items() if value is not None}
    if accept:
        if limits or against:
            raise click.UsageError("--accept takes the verdict as it is kept; leave limits and --against out")
        return _accept(job, as_json=as_json)
    with open_store(load_settings()) as store:
        job_id = store.find_job(job)
        kept = store.verdicts.of_job(job_id)
        wanted = GateLimits(**{**(kept.limits if kept is not None else {}), **limits})
        others = [store.find_job(text) for text in against] or None
        report = judge(store, job_id, wanted, others).report
    if as_json:
        print_json({**plain(report), "kept": None if kept is None else kept.state})
    else:
        _tell(report)
    return 0 if report.passed else ERROR


def _accept(job: str, *, as_json: bool) -> int:
    """Let later runs be held against one that failed."""
    with open_store(load_settings()) as store:
        job_id = store.find_job(job)
        is_changed = store.verdicts.accept(job_id)
        state = store.status(job_id).gates
    if as_json:
        print_json({"job_id": job_id, "gates": state, "is_changed": is_changed})
    elif is_changed:
        say("accepted", f"{short(job_id)}: later runs are held against it")
    else:
        said = "it has no verdict" if state is None else f"its gates are {state}"
        say("", f"nothing to accept in {short(job_id)}: {said}")
    return 0 if is_changed else ERROR


def _tell(report: GateReport) -> None:
    from jobstore.schema import JobId

    if report.note:
        say("", report.note)
        return
    say("against", ", ".join(short(JobId(each)) for each in report.compared_with))
    rows = [("ok" if each.passed else "fail", each.gate, each.message) for each in report.findings]
    print_rows(("verdict", "gate", "figures"), rows)
