"""`nightshift up`, `worker`, `queues` and `autoscale`: who works, and what waits."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import click

from nightshift.cli.errors import ERROR, UNREACHABLE
from nightshift.cli.output import duration, json_option, moment, print_json, print_rows, say
from nightshift.cli.pages import pages_of
from nightshift.cli.request import hardware_here
from nightshift.cli.serve import auth_option, check_open, host_option, port_option, warn
from nightshift.cli.trust import trust_options, trust_settings
from nightshift.housekeeping import housekeeping
from nightshift.settings import load_settings
from nightshift.stack import open_stack, open_store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobstore.schema import QuarantinedMessage, WorkerRow
    from jobstore.store import JobStore
    from jobstore.views import QueueRow

#: Characters of a worker's id that tell it from others, and bytes of a refused message that a row of the table shows.
ID_TAIL, SHOWN = 8, 40
#: Seconds between two looks at the stack.
TEND_INTERVAL_S = 1.0

_hardware = click.option(
    "--hardware", help="Hardware classes to serve: auto, cpu, gpu-sm90, or `auto,cpu` for both [default: the setting]."
)
_processes = click.option("--cpu-processes", type=click.IntRange(min=1), help="Worker processes on the CPU.")
_concurrency = click.option(
    "--concurrency", type=click.IntRange(min=1), help="Shards that a process works on at a time."
)


@click.command()
@_hardware
@_processes
@_concurrency
@trust_options
@host_option
@port_option
@auth_option
@json_option
def up(  # noqa: PLR0913 (click passes each option)
    *,
    hardware: str | None,
    cpu_processes: int | None,
    concurrency: int | None,
    trust: tuple[str, ...] | bool | None,
    allow_code: bool,
    host: str | None,
    port: int | None,
    no_auth: bool,
    as_json: bool,
) -> None:
    """Run workers and the pages here until Ctrl-C, with Redis if no broker is configured."""
    from workers.signals import obey

    asked = threading.Event()
    obey((signal.SIGTERM, signal.SIGINT), lambda *_: asked.set())
    settings = load_settings(**trust_settings(trust, allow_code))
    served = hardware_here(hardware or settings.worker.hardware)
    options = {"cpu_processes": cpu_processes, "concurrency": concurrency}
    where = host or settings.server.host
    check_open(where, no_auth=no_auth)
    with (
        open_stack(settings, with_workers=True, keeps_house=True, hardware=hardware, **options) as stack,
        pages_of(stack, where, port, no_auth=no_auth) as pages,
    ):
        if as_json:
            shown = {"url": pages.url, "token": pages.token}
            print_json({"broker_url": stack.broker_url, "data_dir": stack.settings.data_dir, **shown})
        else:
            say("up", stack.describe(served))
            say("pages", pages.words)
            say("", f"token {pages.token}     until this ends" if pages.token else "")
            warn(no_auth=no_auth)
            say("", "nightshift submit ./photos -m digits     in another terminal hands over work; Ctrl-C ends")
        while not asked.wait(TEND_INTERVAL_S):
            stack.tend()
        say("down", "what is not finished waits for the next `nightshift up`")


@click.group()
def worker() -> None:
    """Start workers for a fleet, list them, ask how they are, send one home."""


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
    return main(settings.worker_config(settings.broker_url, **options), (housekeeping(settings, settings.broker_url),))


@worker.command("ls")
@json_option
def list_workers(as_json: bool) -> None:
    """List worker processes of the last day, as they report themselves."""
    with open_store(load_settings()) as store:
        found = store.fleet.workers()
    if as_json:
        for row in found:
            print_json(row)
        return
    columns = ("worker", "host", "pid", "serves", "device", "state", "shards", "img/s", "memory", "models", "last seen")
    print_rows(columns, [
        (w.worker_id[-ID_TAIL:], w.host, str(w.pid), ", ".join(w.serves), w.device,
         "leaving" if w.drain and w.state == "running" else w.state, str(w.active), f"{w.items_per_second:.1f}",
         "" if w.memory_bytes is None else f"{w.memory_bytes / 2**30:.1f} GiB", ", ".join(w.models),
         f"{duration(w.age_s or 0)} ago")
        for w in found
    ])  # fmt: skip


#: `nightshift workers`: the same list, beside `jobs` and `queues`.
workers = list_workers


@worker.command()
@click.argument("worker_id", metavar="WORKER")
@json_option
def drain(worker_id: str, as_json: bool) -> None:
    """Ask a worker to finish what it has and to leave. WORKER: its id, or a tail of it, from `nightshift worker ls`."""
    with open_store(load_settings()) as store:
        found = named_worker(store.fleet.workers(), worker_id)
        asked = store.fleet.drain_worker(found.worker_id)
    if not asked:
        raise click.UsageError(f"worker {found.worker_id} ended just now")
    if as_json:
        print_json({"worker_id": found.worker_id, "draining": True})
        return
    say("drain", f"worker {found.worker_id} (pid {found.pid} on {found.host}) gives back what it has not begun")


@worker.command()
@click.option("--ready", is_flag=True, help="Also: database and broker answer, and a process takes work.")
@json_option
def ping(ready: bool, as_json: bool) -> int:
    """Ask this machine's launcher whether its processes are well. Exit status: 0 well, 1 not, 4 nobody answers."""
    from workers.probe import probe

    settings = load_settings()
    answer = probe(settings.worker.metrics_host, settings.worker.metrics_port, "/readyz" if ready else "/healthz")
    if as_json:
        print_json(answer)
    else:
        say("ping", f"{answer.state}: {answer.found}")
    return {"ok": 0, "failing": ERROR}.get(answer.state, UNREACHABLE)


@click.command()
@click.option("--hardware", help="Only this hardware class.")
@click.option("--quarantined", is_flag=True, help="List messages that no worker could read instead.")
@json_option
def queues(hardware: str | None, quarantined: bool, as_json: bool) -> None:
    """Show what waits and what runs, queue by queue, and why. Counts are shards, and images left."""
    with open_store(load_settings()) as store:
        if quarantined:
            _print_quarantined(store.fleet.quarantined(), as_json=as_json)
        else:
            _print_queues(store.fleet.queues(hardware), as_json=as_json)


def _print_queues(found: Sequence[QueueRow], *, as_json: bool) -> None:
    if as_json:
        for row in found:
            print_json(row)
        return
    columns = ("queue", "waiting", "sent", "running", "held", "images left", "work", "oldest", "why it waits")
    print_rows(columns, [
        (q.queue, f"{q.pending:,}", f"{q.queued:,}", f"{q.leased:,}", f"{q.held:,}", f"{q.items_left:,}",
         duration(q.backlog_seconds), "" if q.oldest_age_s is None else duration(q.oldest_age_s), q.reason)
        for q in found
    ])  # fmt: skip


def _print_quarantined(found: Sequence[QuarantinedMessage], *, as_json: bool) -> None:
    if as_json:
        for row in found:
            print_json(row)
        return
    columns = ("when", "queue", "reason", "bytes", "found", "begins with")
    print_rows(columns, [
        (moment(m.created), m.queue, m.reason, f"{m.size_bytes:,}", m.message, m.body[:SHOWN]) for m in found
    ])  # fmt: skip


@click.command()
@click.argument("hardware", metavar="CLASS", required=False)
@json_option
def autoscale(hardware: str | None, as_json: bool) -> None:
    """Show how much work each hardware class has. It is what starts and stops workers by themselves."""
    with open_store(load_settings()) as store:
        classes = {hardware} if hardware else known_classes(store)
        found = [store.fleet.autoscale(name) for name in sorted(classes)]
    if as_json:
        for figures in found:
            print_json(figures)
        return
    columns = ("class", "images", "work", "oldest", "active shards", "workers")
    print_rows(columns, [
        (f.hardware, f"{f.backlog_items:,}", duration(f.backlog_seconds), duration(f.oldest_age_seconds),
         f"{f.active:,}", str(f.workers))
        for f in found
    ])  # fmt: skip


def known_classes(store: JobStore) -> set[str]:
    """Hardware classes that have work or a worker."""
    served = {name for worker in store.fleet.workers() if worker.state == "running" for name in worker.serves}
    return served.union(queue.hardware for queue in store.fleet.queues())


def named_worker(workers: Sequence[WorkerRow], text: str) -> WorkerRow:
    """Find the one worker whose id is this text, begins or ends with it.

    Raises:
        click.UsageError: none, or more than one.
    """
    there = [row for row in workers if row.state in ("running", "draining")]
    found = [row for row in there if row.worker_id.startswith(text) or row.worker_id.endswith(text)]
    if len(found) != 1:
        named = ", ".join(row.worker_id for row in found or there) or "none runs"
        raise click.UsageError(f"{len(found)} workers are called {text!r}: expected one of {named}")
    return found[0]
