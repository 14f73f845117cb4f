"""`nightshift jobs`, `status` and `cancel`."""

from __future__ import annotations

import time

import click

from nightshift.cli.output import age, count, duration, json_option, moment, print_json, print_rows
from nightshift.cli.summary import canary_line, done_line, failure_lines, gates_line, model_line, record, state_words
from nightshift.cli.times import span
from nightshift.settings import load_settings
from nightshift.stack import open_store
from producer.ending import short


@click.command()
@click.option("--state", "states", multiple=True, help="Only jobs in this state; may be given again.")
@click.option("--since", callback=span, metavar="24h", help="Only jobs of the last minutes, hours or days.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Jobs at most.")
@json_option
def jobs(states: tuple[str, ...], since: float | None, limit: int, as_json: bool) -> None:
    """List jobs, the newest first."""
    from jobstore.schema import JobState

    if unknown := set(states) - set(JobState):
        raise click.UsageError(f"no state called {unknown.pop()!r}; expected one of {', '.join(JobState)}")
    with open_store(load_settings()) as store:
        wanted = [JobState(state) for state in states]
        found = store.jobs(states=wanted, limit=limit, since=None if since is None else time.time() - since)
        if as_json:
            for job in found:
                print_json(record(job, ()))
            return
    columns = ("job", "state", "done", "failed", "objects", "model", "name", "created")
    rows = [
        (short(j.job_id), state_words(j), f"{j.done:,}/{j.total:,}", f"{j.failed:,}", f"{j.objects:,}", j.model, j.name,
         age(j.created, j.now))
        for j in found
    ]  # fmt: skip
    print_rows(columns, rows)


@click.command()
@click.argument("job")
@json_option
def status(job: str, as_json: bool) -> None:
    """Show where a job stands. JOB is an id, or at least four characters of its beginning or its end."""
    with open_store(load_settings()) as store:
        job_id = store.find_job(job)
        found, failures, decisions = store.status(job_id), store.failures(job_id), store.decisions(job_id)
        verdict = store.verdicts.of_job(job_id) if found.gates is not None else None
        canary, waiting = canary_line(store.events(job_id)), store.why_waiting(job_id)
    gates = {} if verdict is None or verdict.report is None else {"gates_report": verdict.report}
    report = record(found, failures, decisions=decisions, waiting=waiting, **gates)
    if as_json:
        print_json(report)
        return
    lines = [
        ("job", f"{found.job_id}  {found.name}".rstrip()),
        ("state", f"{found.state} {found.reason or ''}".rstrip()),
    ]
    lines += [("model", model_line(found.model, decisions[0]) if decisions else f"{found.model}, not opened yet")]
    lines += [("done", done_line(found) if found.is_ended else f"{found.done:,} of {count(found.total, 'image')}")]
    if report["eta_seconds"] is not None:
        lines += [("ETA", f"{duration(report['eta_seconds'])} at {report['items_per_second']:.1f} img/s")]
    lines += [("gates", "" if verdict is None else gates_line(verdict))]
    lines += [("canary", canary or ""), ("waiting", waiting or ""), ("created", moment(found.created))]
    lines += [("deadline", moment(found.deadline)), ("expires", moment(found.expires)), ("cause", found.message or "")]
    for label, text in lines:
        if text:
            click.echo(f"{label:<9} {text}")
    for line in failure_lines(failures):
        click.echo(line)


@click.command()
@click.argument("job")
@json_option
def cancel(job: str, as_json: bool) -> None:
    """End a job; what was labelled stays, what was not is skipped."""
    with open_store(load_settings()) as store:
        job_id = store.find_job(job)
        is_changed = store.cancel(job_id)
        found = store.status(job_id)
    if as_json:
        print_json({**record(found, ()), "is_changed": is_changed})
    elif is_changed:
        click.echo(f"cancelled {short(job_id)}: {found.ok + found.cached:,} labelled, {found.skipped:,} skipped")
    else:
        click.echo(f"{short(job_id)} had ended before: {found.state}")
