"""`nightshift up`, `worker` and `queues`: who works."""

from __future__ import annotations

import signal
import threading

import click

from nightshift.cli.output import duration, json_option, print_json, print_rows, say
from nightshift.cli.request import hardware_here
from nightshift.cli.trust import trust_options, trust_settings
from nightshift.settings import load_settings
from nightshift.stack import open_stack, open_store

#: Seconds between two looks at the stack.
TEND_INTERVAL_S = 1.0

_hardware = click.option("--hardware", help="Hardware class to serve: auto, cpu, gpu-sm90 ... [default: the setting].")
_processes = click.option("--cpu-processes", type=click.IntRange(min=1), help="Worker processes on the CPU.")
_concurrency = click.option(
    "--concurrency", type=click.IntRange(min=1), help="Shards that a process works on at a time."
)


@click.command()
@_hardware
@_processes
@_concurrency
@trust_options
@json_option
def up(
    *,
    hardware: str | None,
    cpu_processes: int | None,
    concurrency: int | None,
    trust: tuple[str, ...] | bool | None,
    allow_code: bool,
    as_json: bool,
) -> None:
    """Run workers here until Ctrl-C, with Redis if no broker is configured."""
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    settings = load_settings(**trust_settings(trust, allow_code))
    served = hardware_here(hardware or settings.worker.hardware)
    options = {"cpu_processes": cpu_processes, "concurrency": concurrency}
    with open_stack(settings, with_workers=True, hardware=served, **options) as stack:
        if as_json:
            print_json({"broker_url": stack.broker_url, "data_dir": stack.settings.data_dir})
        else:
            say("up", stack.describe(served))
            say("", "nightshift submit ./photos -m digits     in another terminal hands over work; Ctrl-C ends")
        while not asked.wait(TEND_INTERVAL_S):
            stack.tend()
        say("down", "what is not finished waits for the next `nightshift up`")


@click.group()
def worker() -> None:
    """Start workers for a fleet, list those that there are."""


@worker.command()
@_hardware
@_processes
@_concurrency
@trust_options
def start(
    *,
    hardware: str | None,
    cpu_processes: int | None,
    concurrency: int | None,
    trust: tuple[str, ...] | bool | None,
    allow_code: bool,
) -> int:
    """Run this machine's worker processes in the foreground; SIGTERM drains them."""
    from workers.launch import main

    settings = load_settings(**trust_settings(trust, allow_code))
    if settings.broker_url is None:
        raise click.UsageError(
            "no broker is configured: set NIGHTSHIFT_BROKER_URL and NIGHTSHIFT_DATABASE_URL, or use `nightshift up`"
        )
    open_store(settings).close()  # an outdated schema is an error here, not a worker that dies again and again
    options = {"hardware": hardware, "cpu_processes": cpu_processes, "concurrency": concurrency}
    return main(settings.worker_config(settings.broker_url, **options))


@worker.command("ls")
@json_option
def list_workers(as_json: bool) -> None:
    """List worker processes of the last day, as they report themselves."""
    with open_store(load_settings()) as store:
        found = store.workers()
    if as_json:
        for row in found:
            print_json(row)
        return
    columns = ("host", "pid", "hardware", "device", "state", "img/s", "models", "last seen")
    print_rows(columns, [
        (w.host, str(w.pid), w.hardware, w.device, w.state, f"{w.items_per_second:.1f}", ", ".join(w.models),
         f"{duration(w.age_s or 0)} ago")
        for w in found
    ])  # fmt: skip


@click.command()
@click.option("--hardware", help="Only this hardware class.")
@json_option
def queues(hardware: str | None, as_json: bool) -> None:
    """Show what waits and what runs, queue by queue. Counts are shards, and images left."""
    with open_store(load_settings()) as store:
        found = store.queues(hardware)
    if as_json:
        for row in found:
            print_json(row)
        return
    columns = ("queue", "waiting", "sent", "running", "images left", "oldest")
    print_rows(columns, [
        (q.queue, f"{q.pending:,}", f"{q.queued:,}", f"{q.leased:,}", f"{q.items_left:,}",
         "" if q.oldest_age_s is None else duration(q.oldest_age_s))
        for q in found
    ])  # fmt: skip
