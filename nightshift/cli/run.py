"""`nightshift run` and `nightshift submit`."""

from __future__ import annotations

import itertools
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobstore.schema import DEFAULT_TENANT
from nightshift.cli.exporting import Destination, absolute, format_names
from nightshift.cli.follow import follow, tell_done, tell_interrupted, tell_trouble
from nightshift.cli.output import count, json_option, print_json, say
from nightshift.cli.request import check_here, classes_here, file_option, job_options, request_of
from nightshift.cli.summary import exit_status, gates_line, record, tell_exports
from nightshift.cli.trust import trust_options, trust_settings
from nightshift.settings import Settings, load_settings
from nightshift.stack import open_store
from producer.ending import short
from workers.logs import configure_logging

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Iterator, Sequence

    from jobstore.aftercare import Output
    from jobstore.schema import ItemRef, JobId
    from jobstore.views import JobStatus
    from nightshift.stack import Stack
    from producer.exports import ExportSummary
    from producer.job_request import JobRequest
    from producer.sources import SourceReport

_OTHERS_DECIDE = (
    "--trust and --allow-code are for workers that this command starts, and it hands the job to others: "
    "set NIGHTSHIFT_TRUST or NIGHTSHIFT_ALLOW_LOCAL_CODE_PACKAGES where those are started"
)


@click.command(short_help="Label pictures here and now: submit, wait, export.")
@file_option("--file")
@job_options
@click.option("-o", "--output", type=Destination(), metavar="DEST", help="Folder or s3://bucket/prefix for exports.")
@click.option(
    "-f",
    "--formats",
    callback=format_names,
    metavar="A,B",
    help="Export formats, see: nightshift export --help [default: coco,jsonl, or jsonl where coco has no place].",
)
@click.option("--resume", is_flag=True, help="Go on with an earlier run of the same words that has not ended.")
@trust_options
@json_option
def run(
    output: Path | str | None,
    formats: tuple[str, ...],
    *,
    resume: bool,
    trust: tuple[str, ...] | bool | None,
    allow_code: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Label pictures here and now: submit, wait, export.

    SOURCE is a folder, a pattern such as 'photos/**/*.jpg', a manifest (.csv, .jsonl, .txt), a picture or a video.
    Where no broker is configured, Redis and the workers are started here and end with this command. A run that was
    interrupted goes on where it was by the same words and --resume.
    """
    trusted = trust_settings(trust, allow_code)
    request, settings = request_of(options), load_settings(**trusted)
    wanted = _output(request, output, formats)
    request = replace(request, output=None)  # written here at the end, and not by whoever finds the job ended
    if trusted and not settings.is_embedded:
        raise click.UsageError(_OTHERS_DECIDE)
    configure_logging(settings.quiet_log_level, settings.log_format)
    begun = _begun(settings, request) if resume else None
    items, report = (iter(()), None) if begun is not None else _items(request, settings)
    with _open(settings, request) as stack:
        if trusted and stack.workers is None:
            raise click.UsageError(_OTHERS_DECIDE)
        if settings.is_embedded:
            check_here(settings, request)  # after the workers' start, which takes longer
        job_id = begun if begun is not None else _submit(stack, request, items, _token(request) + uuid.uuid4().hex)
        try:
            _tell_accepted(stack, job_id, report) if report is not None else _go_on(stack, job_id)
            status = follow(stack, job_id)
        except KeyboardInterrupt:
            return tell_interrupted(job_id, is_embedded=settings.is_embedded, is_run=True)
        tell_done(stack.store, status)
        exports = _export(stack, status, wanted)
        if request.gates is not None:
            status = _judge(stack, job_id)
        if request.webhooks:
            _notify(stack, job_id)
        tell_trouble(status)
        if as_json:
            decisions = stack.store.decisions(job_id)
            print_json(record(status, stack.store.failures(job_id), decisions=decisions, exports=exports))
        return exit_status(status)


@click.command(short_help="Hand a job to the workers and return.")
@file_option("-f", "--file")
@job_options
@json_option
def submit(as_json: bool, **options: Any) -> int:
    """Hand a job to the workers and return. Prints the job's id."""
    request, settings = request_of(options), load_settings()
    from nightshift.stack import open_client

    if settings.is_embedded:
        check_here(settings, request)
    items, report = _items(request, settings)
    with open_client(settings) as stack:
        job_id = _submit(stack, request, items)
        _tell_accepted(stack, job_id, report)
        if as_json:
            print_json(record(stack.store.status(job_id), ()))
        else:
            click.echo(job_id)
        if settings.is_embedded and not stack.is_joined:
            say("", f"nobody works on it yet: nightshift up, or nightshift watch {short(job_id)}")
    return 0


def _output(request: JobRequest, dest: Path | str | None, formats: tuple[str, ...]) -> Output | None:
    """Give what is exported: the job file's output, but for what the command line says."""
    from jobstore.aftercare import Output

    if request.output is None and dest is None:
        if formats:
            raise click.UsageError("--formats needs a folder to write to: -o DIR")
        return None
    said = request.output or Output("")
    place = absolute(dest if dest is not None else Destination().convert(said.dest, None, None))
    return replace(said, dest=str(place), formats=formats or said.formats)


def _open(settings: Settings, request: JobRequest) -> contextlib.AbstractContextManager[Stack]:
    from nightshift.stack import open_stack

    if not settings.is_embedded:
        return open_stack(settings, with_workers=False)
    hardware = ",".join(classes_here(request.hardware))
    return open_stack(settings, with_workers=True, hardware=hardware, log_level=settings.quiet_log_level)


def _items(request: JobRequest, settings: Settings) -> tuple[Iterator[ItemRef], SourceReport]:
    """Give the items, the first of them found already: a wrong source is known before anything is started."""
    from producer.sources import SourceOptions, SourceReport, expand

    report = SourceReport()
    options = request.source_options(SourceOptions(policy=settings.fetch_policy))
    items = expand(request.sources, options, report)
    first = list(itertools.islice(items, 1))
    return itertools.chain(first, items), report


def _token(request: JobRequest) -> str:
    """Give how the client tokens of all runs of a request begin."""
    return f"run:{request.fingerprint()}:"


def _begun(settings: Settings, request: JobRequest) -> JobId | None:
    """Find an earlier run of the same words that has not ended."""
    with open_store(settings) as store:
        found = store.unended_job(DEFAULT_TENANT, _token(request))
    if found is None:
        say("resume", "no run of these words was interrupted; this is a new one")
    return found


def _go_on(stack: Stack, job_id: JobId) -> None:
    """Let an earlier run's job run again where it was stopped, and say where it stands."""
    stack.gateway.resume(job_id)
    status = stack.store.status(job_id)
    _tell_who(stack, status.hardware)
    say("resume", f"{status.done:,} of {count(status.total, 'item')} done before     job {short(job_id)}")


def _submit(stack: Stack, request: JobRequest, items: Iterator[ItemRef], token: str | None = None) -> JobId:
    """Say who will work, and hand the job over."""
    from producer.request import classes_of

    wanted = request.hardware
    hardware = classes_here(wanted) if stack.settings.is_embedded else classes_of(wanted, stack.store.fleet.workers())
    _tell_who(stack, hardware)
    return stack.gateway.submit(request.spec(hardware, client_token=token), items)


def _tell_who(stack: Stack, hardware: Sequence[str]) -> None:
    say("embedded" if stack.settings.is_embedded else "fleet", stack.describe(", ".join(hardware)))


def _tell_accepted(stack: Stack, job_id: JobId, report: SourceReport) -> None:
    """Say what the job holds."""
    skipped = f", {report.describe()}" if report.skipped else ""
    images = stack.store.status(job_id).total - report.parts
    parts = f" in {report.parts:,} parts" if report.parts > report.videos else ""
    words = [count(images, "image")] if images or not report.videos else []
    words += [f"{count(report.videos, 'video')}{parts}"] if report.videos else []
    say("reading", f"{', '.join(words)}{skipped}     job {short(job_id)}")


def _judge(stack: Stack, job_id: JobId) -> JobStatus:
    """Hold the job against the good runs before it, unless who keeps house was faster, and say what came of it."""
    from producer.gate_work import Watchman

    Watchman(stack.store, f"run {job_id}").judge_job(job_id)
    if (verdict := stack.store.verdicts.of_job(job_id)) is not None:
        say("gates", gates_line(verdict))
    return stack.store.status(job_id)


def _notify(stack: Stack, job_id: JobId) -> None:
    """Send what is due of this job now; nobody keeps house after us, and what is not taken waits for who does."""
    from nightshift.housekeeping import sender

    with sender(stack.settings, stack.store) as sending:
        sending.send_due(job_id)


def _export(stack: Stack, status: JobStatus, output: Output | None) -> list[ExportSummary]:
    """Write the exports that were asked for; without any, say how to get some."""
    from producer.export_work import write_output

    job = short(status.job_id)
    if output is None:
        say("results", f"nightshift results {job}     or: nightshift export {job} -f coco -o out")
        return []
    exports = write_output(stack.gateway, status.job_id, output)
    tell_exports(exports)
    return exports
