"""`nightshift capsule` and `nightshift replay`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nightshift.cli.errors import ERROR
from nightshift.cli.follow import follow, tell_done, tell_trouble
from nightshift.cli.output import count, json_option, plain, print_json, say
from nightshift.cli.request import classes_here
from nightshift.cli.summary import exit_status, record, shown_path
from nightshift.settings import Settings, load_settings
from nightshift.stack import open_store
from producer.ending import short

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jobstore.schema import JobSpec
    from jobstore.views import JobStatus
    from nightshift.stack import Stack
    from producer.judging.capsule import Capsule, CapsuleInput, Verification

#: Lines of a kind that are shown.
_SHOWN = 5
#: Pictures of a sample whose size nobody said.
_SAMPLE = 100


@click.command(short_help="Write what went into a job and what came out, to run it again.")
@click.argument("job")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path, dir_okay=False), help="File.")
@json_option
def capsule(job: str, output: Path, as_json: bool) -> None:
    """Write what went into a job and what came out, to run it again.

    Hashes of inputs and results, the package's digest, decisions, versions, parameters and the machine.
    """
    from producer.judging.capsule import write_capsule

    with open_store(load_settings()) as store:
        status = store.status(store.find_job(job))
        decisions = store.decisions(status.job_id)
        found = write_capsule(status, store.results(status.job_id), decisions, output.absolute())
    if as_json:
        print_json(found)
        return
    say("wrote", f"{shown_path(found.path)}     {count(found.inputs, 'input')}, results {found.results_sha256[:12]}")
    if found.unread:
        say("", f"{found.unread:,} inputs cannot be read here: a replay will not know whether they changed")


@click.command(short_help="Run a capsule's inputs again, and say whether the results are the same.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--verify", is_flag=True, help="Compare the results with the capsule's.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Run so many inputs at most [100 of a sample].")
@click.option("--sample", type=int, metavar="SEED", help="Draw them by this seed instead of taking the first.")
@click.option("--backend", metavar="NAME|any", help="Run them by this backend, or by the best here.")
@json_option
def replay(file: Path, verify: bool, limit: int | None, sample: int | None, backend: str | None, as_json: bool) -> int:
    """Run a capsule's inputs again, and say whether the results are the same.

    By the same backend and precision, where one alone ran. Inputs that changed since are named and not run.
    Exit status 1 where results differ by more than another backend, machine or version of the same package may cost;
    where all is the same, so must they be, bit by bit.
    """
    from nightshift.replay import replay_spec
    from producer.judging.capsule import changed_inputs, choose, read_capsule
    from workers.logs import configure_logging

    found, settings = read_capsule(file), load_settings()
    configure_logging(settings.quiet_log_level, settings.log_format)
    chosen = choose(found, _SAMPLE if limit is None and sample is not None else limit, sample)
    kept, changed, gone = changed_inputs(chosen)
    _tell_inputs(chosen, changed, gone)
    if not kept:
        raise click.ClickException(f"none of {len(chosen):,} inputs is there as it was; nothing can be run again")
    with _open(settings, found) as (stack, hardware):
        status = _run(stack, replay_spec(found, hardware, backend), kept)
        if not verify or not status.done - status.skipped:
            if as_json:
                print_json(record(status, stack.store.failures(status.job_id)))
            return exit_status(status)
        report = _verified(stack, found, status, kept, (changed, gone))
    if as_json:
        print_json({**plain(report), "passed": report.passed})
    else:
        _tell(report)
    return 0 if report.passed else ERROR


@contextlib.contextmanager
def _open(settings: Settings, capsule: Capsule) -> Iterator[tuple[Stack, tuple[str, ...]]]:
    """The stack, and the hardware classes that the job goes to: the capsule's, or what is here where it lacks them."""
    from nightshift.stack import open_stack

    asked = tuple(capsule.job["hardware"])
    if not settings.is_embedded:
        with open_stack(settings, with_workers=False) as stack:
            yield stack, asked
        return
    try:
        hardware = classes_here(asked)
    except click.UsageError:
        hardware = classes_here(("auto",))
    here = ",".join(hardware)
    with open_stack(settings, with_workers=True, hardware=here, log_level=settings.quiet_log_level) as stack:
        yield stack, hardware


def _run(stack: Stack, spec: JobSpec, inputs: Sequence[CapsuleInput]) -> JobStatus:
    from nightshift.replay import items_of
    from producer.request import checked_items

    job_id = stack.gateway.submit(spec, checked_items(items_of(inputs), stack.settings.fetch_policy))
    say("replay", f"{count(len(inputs), 'input')}     job {short(job_id)}")
    status = follow(stack, job_id)
    tell_done(stack.store, status)
    tell_trouble(status)
    return status


def _verified(
    stack: Stack,
    capsule: Capsule,
    status: JobStatus,
    inputs: Sequence[CapsuleInput],
    inputs_now: tuple[Sequence[str], Sequence[str]],
) -> Verification:
    from nightshift.replay import originals_of
    from producer.judging.capsule import Replay, verify

    again = Replay(status, stack.store.decisions(status.job_id), inputs)
    originals = originals_of(stack.store, capsule, inputs)
    return verify(capsule, again, stack.store.results(status.job_id), originals, inputs_now)


def _tell_inputs(chosen: Sequence[CapsuleInput], changed: Sequence[str], gone: Sequence[str]) -> None:
    for words, uris in (("changed since", changed), ("cannot be read any more", gone)):
        for uri in uris[:_SHOWN]:
            say("input", f"{words}: {uri}")
        if len(uris) > _SHOWN:
            say("", f"and {len(uris) - _SHOWN:,} more of {count(len(chosen), 'input')}")


def _tell(report: Verification) -> None:
    say(report.verdict, f"{report.same:,} of {report.run:,} results are the same bit by bit")
    if report.near:
        say("", f"{report.near:,} others disagree by {report.max_disagreement} at most")
    if report.taken_over:
        say("", f"{report.taken_over:,} were taken over from an earlier run and prove nothing")
    if report.unchecked:
        say("", f"{report.unchecked:,} inputs may have changed: the capsule has no hash of them")
    for line in report.circumstances:
        say("differs", line)
    for change in report.changes[:_SHOWN]:
        at = "" if change.timestamp_s is None else f" at {change.timestamp_s:.2f} s"
        say("result", f"{change.uri}{at}: {change.words}")
    if report.verdict == "differs" and not report.circumstances:
        say("", "package, backend, machine and versions are the same: the model does not give the same twice")
