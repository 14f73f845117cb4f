"""`nightshift gates`."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

from nightshift.cli.errors import ERROR
from nightshift.cli.output import json_option, print_json, print_rows, say
from nightshift.settings import load_settings
from nightshift.stack import open_store
from producer.ending import short

if TYPE_CHECKING:
    from jobstore.store import JobStore
    from jobstore.views import JobStatus
    from producer.judging.gates import GateReport

#: Jobs that are looked through for earlier runs.
_LOOKED_AT = 1000
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
@_limit_options
@json_option
def gates(job: str, against: tuple[str, ...], as_json: bool, **limits: Any) -> int:
    """Hold a job against the last good runs of the same thing: name, model and task.

    Shares of empty and of failed pictures, objects a picture, the mix of classes, images a second. Exit status 1 if one
    of them lies too far from the nights before.
    """
    from producer.judging.gates import GateLimits, check, figures_of

    given = {field.name: limits[field.name] for field in fields(GateLimits) if limits[field.name] is not None}
    with open_store(load_settings()) as store:
        tonight = store.status(store.find_job(job))
        before = _before(store, tonight, against)
        runs = [figures_of(each, store.results(each.job_id)) for each in (tonight, *before)]
    report = check(runs[0], runs[1:], GateLimits(**given))
    if as_json:
        print_json(report)
    else:
        _tell(report)
    return 0 if report.passed else ERROR


def _before(store: JobStore, tonight: JobStatus, against: tuple[str, ...]) -> list[JobStatus]:
    from producer.judging.gates import good_runs

    if against:
        return [store.status(store.find_job(text)) for text in against]
    return good_runs(tonight, store.jobs(tenant=tonight.tenant, limit=_LOOKED_AT))


def _tell(report: GateReport) -> None:
    from jobstore.schema import JobId

    if report.note:
        say("", report.note)
        return
    say("against", ", ".join(short(JobId(each)) for each in report.compared_with))
    rows = [("ok" if each.passed else "fail", each.gate, each.message) for each in report.findings]
    print_rows(("verdict", "gate", "figures"), rows)
