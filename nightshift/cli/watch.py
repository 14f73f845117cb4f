"""`nightshift watch`."""

from __future__ import annotations

import click

from nightshift.cli.follow import follow, tell_done, tell_interrupted, tell_trouble
from nightshift.cli.output import json_option, print_json, say
from nightshift.cli.request import classes_here
from nightshift.cli.summary import exit_status, record
from nightshift.cli.trust import trust_options, trust_settings
from nightshift.settings import Settings, load_settings
from nightshift.stack import open_client, open_stack, open_store
from workers.logs import configure_logging


@click.command()
@click.argument("job")
@trust_options
@json_option
def watch(job: str, trust: tuple[str, ...] | bool | None, allow_code: bool, as_json: bool) -> int:
    """Follow a job until it ends or needs attention, and leave with its exit status.

    Where no broker is configured and no other command works on the job, the workers are started here: this is how
    an interrupted `run` goes on.
    """
    return wait_for(job, load_settings(**trust_settings(trust, allow_code)), as_json=as_json)


def wait_for(job: str, settings: Settings, *, as_json: bool) -> int:
    """Follow a job, with workers of our own where nobody else has any, and give its exit status."""
    configure_logging(settings.quiet_log_level, settings.log_format)
    with open_store(settings) as store:
        found = store.status(store.find_job(job))
    if settings.is_embedded and not found.is_ended:
        hardware = ",".join(classes_here(found.hardware))
        opened = open_stack(settings, with_workers=True, hardware=hardware, log_level=settings.quiet_log_level)
    else:
        opened = open_client(settings)
    with opened as stack:
        if not found.is_ended:
            say("embedded" if settings.is_embedded else "fleet", stack.describe(", ".join(found.hardware)))
        try:
            found = follow(stack, found.job_id)
        except KeyboardInterrupt:
            return tell_interrupted(found.job_id, is_embedded=settings.is_embedded)
        tell_done(stack.store, found)
        tell_trouble(found)
        if as_json:
            decisions = stack.store.decisions(found.job_id)
            print_json(record(found, stack.store.failures(found.job_id), decisions=decisions))
    return exit_status(found)
