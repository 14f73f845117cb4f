"""`nightshift schedule`: jobs that come back by the clock."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobstore.schema import DEFAULT_TENANT
from nightshift.cli.output import age, json_option, moment, plain, print_json, print_rows, say
from nightshift.settings import load_settings
from nightshift.stack import open_client, open_store
from producer.ending import short
from workers.logs import configure_logging

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobstore.schedule_runs import ScheduleRun
    from jobstore.schedules import Schedule, Schedules
    from jobstore.store import JobStore

#: Runs that `ls` and `show` tell of.
RUNS_SHOWN = 5
#: Seconds within which the job of `schedule run` is submitted, by us or by whoever was faster.
_SUBMIT_S, _LOOK_S = 60.0, 0.1

_tenant = click.option("--tenant", default=DEFAULT_TENANT, show_default=True, help="Whose schedule it is.")
_name = click.argument("name")


@click.group()
def schedule() -> None:
    """Let jobs come back by the clock: apply a job file, list, show, run, pause, resume, rm."""


@schedule.command()
@click.option(
    "-f",
    "--file",
    "path",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="JOB.yaml",
    help="The job file; its `schedule` says when, its `name` which.",
)
@_tenant
@json_option
def apply(path: Path, tenant: str, as_json: bool) -> None:
    """Make the schedule of a job file, or change the one of its name. What is unchanged keeps its next time."""
    from producer.jobfile import read_job_file

    spec = read_job_file(path).schedule_spec(tenant)
    with open_store(load_settings()) as store:
        found, applied = store.schedules.apply(spec)
    if as_json:
        print_json({**_record(found, ()), "applied": applied})
        return
    say(applied, f"{found.name}: {found.in_words}, next {_next(found)}")


@schedule.command("ls")
@_tenant
@json_option
def list_schedules(tenant: str, as_json: bool) -> None:
    """List schedules with their next time and their last runs."""
    with open_store(load_settings()) as store:
        found = [(each, store.schedules.runs(each.schedule_id, RUNS_SHOWN)) for each in store.schedules.list(tenant)]
    if as_json:
        for each, runs in found:
            print_json(_record(each, runs))
        return
    print_rows(("name", "state", "next", "when", "last runs"), [
        (each.name, each.state, _next(each), each.in_words, ", ".join(_outcome(run) for run in runs))
        for each, runs in found
    ])  # fmt: skip


@schedule.command()
@_name
@_tenant
@json_option
def show(name: str, tenant: str, as_json: bool) -> None:
    """Show one schedule: its next time in words, its rules, its last five runs."""
    with open_store(load_settings()) as store:
        found = store.schedules.get(name, tenant)
        runs = store.schedules.runs(found.schedule_id, RUNS_SHOWN)
        told = [(run, run.message or _why(store, run)) for run in runs]
    if as_json:
        print_json(_record(found, runs))
        return
    rules = f"catch-up {found.catch_up}, overlap {found.overlap}"
    for label, text in (("name", found.name), ("when", found.in_words), ("next", _next(found)), ("rules", rules)):
        click.echo(f"{label:<9} {text}")
    rows = [(moment(run.due), _outcome(run), short(run.job_id) if run.job_id else "", words) for run, words in told]
    print_rows(("due", "outcome", "job", "why"), rows)


@schedule.command("run")
@_name
@_tenant
@json_option
def run_now(name: str, tenant: str, as_json: bool) -> int:
    """Submit the schedule's job now, also of a paused one. Its overlap rule holds."""
    from nightshift.housekeeping import housekeeper

    settings = load_settings()
    configure_logging(settings.quiet_log_level, settings.log_format)
    with open_client(settings) as stack, housekeeper(settings, stack.store, stack.gateway) as keeper:
        schedules = stack.store.schedules
        found = schedules.get(name, tenant)
        due = schedules.run_now(name, tenant)
        deadline = time.monotonic() + _SUBMIT_S
        while True:  # a relay may have been faster, and still be at it
            keeper.scheduler.submit_due()
            run = next(run for run in schedules.runs(found.schedule_id, 1_000) if run.due == due)
            if run.state not in ("due", "claimed") or time.monotonic() > deadline:
                break
            time.sleep(_LOOK_S)
    if as_json:
        print_json(run)
    elif run.job_id is not None:
        click.echo(run.job_id)
    else:
        say(run.state, run.message or "it waits for the end of an earlier run's job")
    return 0 if run.job_id is not None or run.state == "due" else 1


@schedule.command()
@_name
@_tenant
@json_option
def pause(name: str, tenant: str, as_json: bool) -> None:
    """Stop the clock of a schedule. Times that pass meanwhile are not made up for."""
    _change(name, tenant, lambda schedules: schedules.pause(name, tenant), as_json=as_json)


@schedule.command()
@_name
@_tenant
@json_option
def resume(name: str, tenant: str, as_json: bool) -> None:
    """Go on with a paused schedule at the first time that comes."""
    _change(name, tenant, lambda schedules: schedules.resume(name, tenant), as_json=as_json)


@schedule.command()
@_name
@_tenant
@json_option
def rm(name: str, tenant: str, as_json: bool) -> None:
    """Forget a schedule and the list of its runs. Its jobs stay."""
    with open_store(load_settings()) as store:
        store.schedules.remove(name, tenant)
    if as_json:
        print_json({"name": name, "removed": True})
    else:
        say("removed", name)


def _change(name: str, tenant: str, change: Callable[[Schedules], bool], *, as_json: bool) -> None:
    """Change a schedule and say what it is like afterwards."""
    with open_store(load_settings()) as store:
        is_changed = change(store.schedules)
        found = store.schedules.get(name, tenant)
    if as_json:
        print_json({**_record(found, ()), "is_changed": is_changed})
    else:
        say(found.state, f"{found.name}, next {_next(found)}")


def _record(found: Schedule, runs: Any) -> dict[str, Any]:
    listed = {"runs": plain(list(runs))} if runs else {}
    return {**plain(found), "in_words": found.in_words, **listed}


def _next(found: Schedule) -> str:
    if found.next_at is None:
        return "never" if found.state == "active" else ""
    ahead = age(found.now, found.next_at).removesuffix(" ago")
    return f"{moment(found.next_at)} (in {ahead})"


def _why(store: JobStore, run: ScheduleRun) -> str:
    """What the gates of a run's job said against it."""
    from producer.judging.gates import words_of

    verdict = None if run.job_id is None else store.verdicts.of_job(run.job_id)
    return "" if verdict is None else words_of(verdict)


def _outcome(run: ScheduleRun) -> str:
    """The job's state, where there is a job, and what its gates said."""
    return f"{run.job_state or run.state}{f' (gates {run.gates})' if run.gates else ''}"
