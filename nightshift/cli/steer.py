"""`nightshift pause`, `resume` and `priority`: another course for a job that has not ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nightshift.cli.output import json_option, print_json
from nightshift.cli.summary import record
from nightshift.settings import load_settings
from nightshift.stack import open_client
from producer.ending import short

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobstore.schema import JobId
    from jobstore.views import JobStatus
    from producer.direct import Direct


@click.command()
@click.argument("job")
@json_option
def pause(job: str, as_json: bool) -> None:
    """Stop a job until it is resumed. What its workers have in flight is written, the rest is given back."""
    _steer(job, lambda gateway, job_id: gateway.pause(job_id), "paused", as_json=as_json)


@click.command()
@click.argument("job")
@click.option("--ignore-failures", is_flag=True, help="Run to the end, whatever fails.")
@click.option("--max-failures", type=click.IntRange(min=0), help="Let so many more images fail.")
@click.option("--max-failure-rate", type=click.FloatRange(0, 1), help="Let this share of the images fail.")
@json_option
def resume(
    job: str, ignore_failures: bool, max_failures: int | None, max_failure_rate: float | None, as_json: bool
) -> None:
    """Go on with a job that was paused or needs attention. What failed so far does not count against it any more."""
    if ignore_failures and (max_failures is not None or max_failure_rate is not None):
        raise click.UsageError("--ignore-failures needs no other limit")

    def change(gateway: Direct, job_id: JobId) -> bool:
        limits = (gateway.status(job_id).total, 1.0) if ignore_failures else (max_failures, max_failure_rate)
        return gateway.resume(job_id, *limits)

    _steer(job, change, "resumed", as_json=as_json)


@click.command()
@click.argument("job")
@click.argument("priority", type=int)
@json_option
def priority(job: str, priority: int, as_json: bool) -> None:
    """Give a job another priority; higher goes first. 0 is the usual; for a lower one: `priority JOB -- -1`."""
    _steer(job, lambda gateway, job_id: gateway.reprioritise(job_id, priority), f"now {priority}", as_json=as_json)


def _steer(job: str, change: Callable[[Direct, JobId], bool], word: str, *, as_json: bool) -> None:
    """Change a job and say what it is like afterwards."""
    with open_client(load_settings()) as stack:
        job_id = stack.gateway.find(job)
        is_changed = change(stack.gateway, job_id)
        status = stack.gateway.status(job_id)
    if as_json:
        print_json({**record(status, ()), "is_changed": is_changed})
    else:
        click.echo(f"{word} {short(job_id)}: {_left(status)}" if is_changed else f"{short(job_id)} is {status.state}")


def _left(status: JobStatus) -> str:
    return f"{status.done:,} of {status.total:,} done, {status.state}"
