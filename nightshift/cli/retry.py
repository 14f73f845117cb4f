"""`nightshift retry`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from nightshift.cli.output import count, json_option, print_json
from nightshift.cli.summary import record
from nightshift.cli.watch import wait_for
from nightshift.settings import load_settings
from nightshift.stack import open_client
from producer.ending import short


@click.command()
@click.argument("job")
@click.option("--failed", is_flag=True, help="What failed; the default.")
@click.option("--skipped", is_flag=True, help="What a cancelled, failed or expired job did not come to.")
@click.option(
    "--cause", "causes", multiple=True, metavar="CODE", help="Only what ended with this code; may be repeated."
)
@click.option("--batch", type=click.IntRange(min=1), help="Pictures a run of the model from now on.")
@click.option("--hardware", default="", metavar="A,B", help="Hardware classes from now on, best first.")
@click.option("--wait", is_flag=True, help="Follow the job to its end, as `nightshift watch` does.")
@json_option
def retry(job: str, wait: bool, as_json: bool, **asked: Any) -> int:
    """Run what failed, or was skipped, again in the same job. What is labelled stays as it is."""
    settings = load_settings()
    with open_client(settings) as stack:
        job_id = stack.gateway.find(job)
        items = stack.gateway.retry(job_id, **_wanted(asked))
        status = stack.gateway.status(job_id)
    if wait and items:
        return wait_for(job_id, settings, as_json=as_json)
    if as_json:
        print_json({**record(status, ()), "retried": items})
    elif items:
        click.echo(f"{count(items, 'item')} of {short(job_id)} again: {status.state}")
        click.echo(f"nightshift watch {short(job_id)}     follows it", err=True)
    else:
        click.echo(
            f"nothing to run again: {status.failed} failed, {status.skipped} skipped, {short(job_id)} is {status.state}"
        )
    return 0


def _wanted(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Give what the producer takes. A cause says enough by itself: some are of failed items, others of skipped ones."""
    from jobstore.schema import OutcomeState

    is_any = bool(asked["causes"]) and not asked["failed"] and not asked["skipped"]
    is_failed = asked["failed"] or not asked["skipped"]
    states = {OutcomeState.FAILED: is_failed, OutcomeState.SKIPPED: asked["skipped"] or is_any}
    return {
        "states": [state for state, is_wanted in states.items() if is_wanted],
        "codes": asked["causes"],
        "batch_size": asked["batch"],
        "hardware": [name.strip() for name in asked["hardware"].split(",") if name.strip()],
    }
