"""A million items on PostgreSQL: submit, look, export; seconds and memory of each.

    python3 dev.py bench scale [--items 1000000] [--rounds 20]

Submits a manifest and a bucket's listing, which a server of this machine gives page by page. Then the outcomes are
written by the database itself: nine tenths of the first job, which is at work, and all of the second, which is
exported. Each step runs in a process of its own, whose peak of resident memory is told; the pages are those of
`nightshift serve`, timed from request to last byte by a client beside it. PostgreSQL runs without fsync.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import httpx
import psutil

from jobstore.dispatch import MuteDoorbell
from jobstore.queues import queue_name
from jobstore.schema import JobId, JobSpec
from jobstore.store import JobStore
from producer.direct import Direct
from producer.exporting import export_job
from producer.sources import expand

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from _million import FAILED_OF, label, listing_server, write_manifest

from tests.fixtures.databases import PostgresServer, postgres_binaries

ROOT = Path(__file__).resolve().parents[1]

MAX_SUBMIT_S, MAX_SUBMIT_MB, MAX_ANSWER_MS, MAX_EXPORT_MB = 60, 500, 100, 300


@dataclass(frozen=True)
class Figures:
    """What one step came to.

    Attributes:
        value: what it gave.
        cpu_s: processor seconds of its process, and of the database meanwhile; all that counts on a busy machine.
        peak_mb: the most memory that its process had.
    """

    value: str
    seconds: float
    peak_mb: float
    cpu_s: tuple[float, float] = (0.0, 0.0)


def submit(database_url: str, source: str) -> str:
    """Submit what a source has, and give the job's id."""
    with JobStore.open(database_url) as store:
        spec = JobSpec(model="digits", canary_items=0)
        return store.add_job(spec, expand([source]), lambda hardware: queue_name(hardware, "digits"))


def export(database_url: str, job_id: str, folder: str) -> str:
    """Export a job as COCO, and give what was written in words."""
    with JobStore.open(database_url) as store:
        (made,) = export_job(Direct(store, MuteDoorbell()), JobId(job_id), ["coco"], folder)
    size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return f"{made.items:,} pictures, {made.objects:,} objects, {size / 1e6:,.0f} MB"


def in_its_own_process(step: Callable[..., str], *arguments: str) -> Figures:
    """Run a step in a fresh process."""
    before = database_cpu_s()
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        found = pool.submit(_measured, step, arguments).result()
    return replace(found, cpu_s=(found.cpu_s[0], database_cpu_s() - before))


def _measured(step: Callable[..., str], arguments: tuple[str, ...]) -> Figures:
    started, cpu = time.perf_counter(), time.process_time()
    value = step(*arguments)
    return Figures(value, time.perf_counter() - started, peak_mb(os.getpid()), (time.process_time() - cpu, 0.0))


def process_cpu_s(pid: int) -> float:
    """Processor seconds that a process has used so far."""
    return sum(psutil.Process(pid).cpu_times()[:2])


def database_cpu_s() -> float:
    """Processor seconds that PostgreSQL, which this process started, has used so far."""
    servers = [child for child in psutil.Process().children() if child.name() == "postgres"]
    total = 0.0
    for process in (each for server in servers for each in (server, *server.children())):
        with suppress(psutil.NoSuchProcess):  # a connection that was closed, a table that is vacuumed
            total += sum(process.cpu_times()[:4])
    return total


def peak_mb(pid: int) -> float:
    """Most resident memory of a process so far; `ru_maxrss` would be that of the process which started it, too."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("this system does not tell a process's peak of memory (VmHWM)")


@contextmanager
def serving(database_url: str, folder: Path) -> Iterator[tuple[str, int]]:
    """Run `nightshift serve`; give its address and process id."""
    ours = {
        "DATABASE_URL": database_url, "DATA_DIR": str(folder), "SERVER__REQUESTS_PER_S": "100000",
        "SERVER__BURST": "100000", "LOG_LEVEL": "ERROR",
    }  # fmt: skip
    environ = os.environ | {f"NIGHTSHIFT_{name}": value for name, value in ours.items()}
    command = [sys.executable, "-m", "nightshift", "serve", "--no-auth", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environ, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"], process.pid
        finally:
            process.terminate()


def asked_of(job_id: str, items: int) -> dict[str, str]:
    """Give what is asked of the job at work, by what people call it."""
    deep = items * 8 // 10
    cursor = base64.urlsafe_b64encode(str(deep).encode()).decode().rstrip("=")
    page, job = f"/jobs/{job_id}", f"/v1/jobs/{job_id}"
    return {
        "page: list of jobs": "/jobs",
        "page: job": page,
        "page: job, its live part": f"{page}/live",
        "page: job, gallery deep inside": f"{page}?after={deep}",
        "page: job, gallery of a class that is rare": f"{page}?only=bicycle",
        "page: item": f"{page}/items/{deep}",
        "page: queues": "/queues",
        "/v1/jobs": "/v1/jobs",
        "/v1/jobs/ID": job,
        "/v1/jobs/ID/items": f"{job}/items",
        "... deep inside": f"{job}/items?cursor={cursor}",
        "... ?state=failed": f"{job}/items?state=failed",
        "... ?state=failed, deep inside": f"{job}/items?state=failed&cursor={cursor}",
        "... ?cause=, the first 100": f"{job}/items?cause=not_an_image",
        "... ?cause= that no item has": f"{job}/items?cause=out_of_memory",
        "... ?state=pending": f"{job}/items?state=pending",
        "... ?state=skipped, none": f"{job}/items?state=skipped",
        "/v1/jobs/ID/failures": f"{job}/failures",
    }


@dataclass(frozen=True)
class Answers:
    """How one path was answered: milliseconds, and of those what the server and the database worked."""

    name: str
    median_ms: float
    longest_ms: float
    server_ms: float
    database_ms: float


def look(url: str, server: int, paths: dict[str, str], rounds: int) -> Iterator[Answers]:
    """Ask for each path some times."""
    with httpx.Client(base_url=url, timeout=300) as client:
        for name, path in paths.items():
            client.get(path).raise_for_status()  # compiles templates and statements
            before, found = (process_cpu_s(server), database_cpu_s()), []
            for _ in range(rounds):
                started = time.perf_counter()
                client.get(path).raise_for_status()
                found.append((time.perf_counter() - started) * 1000)
            ours, its = process_cpu_s(server) - before[0], database_cpu_s() - before[1]
            yield Answers(name, statistics.median(found), max(found), ours * 1000 / rounds, its * 1000 / rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=20)
    asked = parser.parse_args()
    server = PostgresServer(postgres_binaries())
    try:
        server.start()
        server.execute("CREATE DATABASE scale")
        with tempfile.TemporaryDirectory() as folder:
            run(server.url("scale"), Path(folder), asked)
    finally:
        server.stop()


def run(database_url: str, folder: Path, asked: argparse.Namespace) -> None:
    """Print a line a step."""
    with JobStore.open(database_url) as store:
        store.create_schema()
    print(f"{asked.items:,} items, one in {FAILED_OF:,} failed; load average {os.getloadavg()[0]:.1f}")
    print("| what | figure | limit |\n| --- | --- | --- |")
    manifest = folder / "manifest.csv"
    write_manifest(manifest, asked.items)
    first = in_its_own_process(submit, database_url, str(manifest))
    tell("submit of a manifest", first, MAX_SUBMIT_MB, MAX_SUBMIT_S)
    with listing_server(asked.items) as url:
        os.environ |= {
            "AWS_ENDPOINT_URL_S3": url, "AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_DEFAULT_REGION": "us-east-1",
        }  # fmt: skip
        second = in_its_own_process(submit, database_url, "s3://photos/pictures/")
    tell("submit of a bucket's listing", second, MAX_SUBMIT_MB, MAX_SUBMIT_S)
    label(database_url, JobId(first.value), asked.items * 9 // 10)
    label(database_url, JobId(second.value), asked.items)
    with serving(database_url, folder / "data") as (url, pid):
        for found in look(url, pid, asked_of(first.value, asked.items), asked.rounds):
            worked = f"{found.server_ms:.0f} ms of a core, PostgreSQL {found.database_ms:.0f}"
            told = f"{found.median_ms:.0f} ms ({worked}), longest {found.longest_ms:.0f}"
            print(f"| {found.name} | {told} | {MAX_ANSWER_MS} ms |", flush=True)
        print(f"| memory of the server | {peak_mb(pid):.0f} MB | |")
    made = in_its_own_process(export, database_url, second.value, str(folder / "out"))
    tell(f"COCO: {made.value}", made, MAX_EXPORT_MB)
    print(f"\nload average at the end {os.getloadavg()[0]:.1f}")


def tell(what: str, found: Figures, max_mb: int, max_s: int | None = None) -> None:
    """Print one row of the table."""
    limits = f"{max_s} s, {max_mb} MB" if max_s else f"{max_mb} MB"
    ours, its = found.cpu_s
    told = f"{found.seconds:.1f} s ({ours:.1f} s of a core, PostgreSQL {its:.1f}), {found.peak_mb:.0f} MB"
    print(f"| {what} | {told} | {limits} |", flush=True)


if __name__ == "__main__":
    main()
