"""Ten thousand pictures of a bucket, labelled from and to it over HTTP, while one request in five fails.

    python3 dev.py bench bucket [--items 10000] [--flawless]

A moto server in a process of its own, real workers with the digits model, SQLite. Every
fifth picture's first answers break off or are a 503 or a 500, the listing fails four times, and each request of the
export is refused twice. Prints seconds and peaks of memory, and holds outcomes and exports against the keys.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import boto3

from jobstore.schema import JobId, JobSpec
from nightshift.pages import write_pages
from producer.exporting import export_job
from producer.sources import expand

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from _system import DIGITS, RunningSystem, running_system

from tests.fixtures.buckets import serving_s3
from tests.fixtures.flawed_s3 import Flawed, put_objects

FLAWS = (["break"], [503, 500], ["break", 503])
LOOK_S = 0.2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--flawless", action="store_true", help="every request is answered well")
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        _bucket(Path(name), asked.items, is_flawed=not asked.flawless) as server,
        running_system(Path(name)) as system,
    ):
        run(system, asked.items, server)


def run(system: RunningSystem, items: int, server: int) -> None:
    """List, label, export; print what each took."""
    print(f"{items:,} pictures; load average {os.getloadavg()[0]:.1f}", flush=True)
    started = time.perf_counter()
    spec = JobSpec(str(DIGITS), use_cache=False)
    job_id = system.producer.submit(spec, expand("s3://photos/yard/"))
    print(f"listed and accepted in {time.perf_counter() - started:.1f} s, {peak_mb(os.getpid()):.0f} MB", flush=True)
    started, workers = time.perf_counter(), 0.0
    while not system.producer.status(job_id).is_settled:
        workers = max([workers, *(peak_mb(pid) for pid in system.launcher.pids)])
        time.sleep(LOOK_S)
    seconds = time.perf_counter() - started
    print(f"labelled in {seconds:.1f} s ({items / seconds:.0f}/s); worker process {workers:.0f} MB", flush=True)
    started = time.perf_counter()
    made = export_job(system.producer, job_id, ["coco", "jsonl", "yolo"], "s3://labels/yard")
    print(f"exported to s3:// in {time.perf_counter() - started:.1f} s: {sum(each.items for each in made):,} records")
    print(f"submitter {peak_mb(os.getpid()):.0f} MB, S3 server {peak_mb(server):.0f} MB")
    judge(system, job_id, items)


def judge(system: RunningSystem, job_id: JobId, items: int) -> None:
    """Say what is lost or doubled, in the store and in the exports."""
    rows = list(system.store.results(job_id))
    seen = Counter(row.uri for row in rows)
    states = Counter(str(row.state) for row in rows)
    print(f"outcomes {dict(states)}; lost {items - len(seen)}, doubled {sum(seen.values()) - len(seen)}")
    client = boto3.client("s3")
    body = json.loads(client.get_object(Bucket="labels", Key="yard/coco/annotations.json")["Body"].read())
    names = Counter(image["file_name"] for image in body["images"])
    lines = client.get_object(Bucket="labels", Key="yard/results.jsonl")["Body"].read().count(b"\n")
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="labels", Prefix="yard/yolo/labels/")
    files = sum(page["KeyCount"] for page in pages)
    in_coco = f"{len(names):,} names of {sum(names.values()):,} images in COCO"
    print(f"in the bucket: {in_coco}, {lines:,} lines, {files:,} YOLO files")
    wrong = [what for what, count in {"COCO": len(names), "JSONL": lines, "YOLO": files}.items() if count != items]
    if wrong or len(seen) != items or states != {"ok": items}:
        raise SystemExit(f"not every picture has its one place: {', '.join(wrong) or dict(states)}")


def peak_mb(pid: int) -> float:
    """Most resident memory of a process so far; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), 0.0)


@contextmanager
def _bucket(folder: Path, items: int, *, is_flawed: bool) -> Iterator[int]:
    """Serve a bucket of pictures, and set the environment that leads to it; give the server's process id."""
    ours, theirs = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=_serve, args=(theirs, folder, items, is_flawed), daemon=True)
    process.start()
    os.environ |= ours.recv()
    try:
        yield process.pid or 0
    finally:
        process.terminate()
        process.join()


def _serve(told: Connection, folder: Path, items: int, is_flawed: bool) -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line a request
    write_pages(folder / "pages", 64, seed=5)
    bodies = [page.read_bytes() for page in sorted((folder / "pages").glob("*.jpg"))]
    with serving_s3() as (server, environ):
        flawed = server.served = Flawed(server.served)
        os.environ |= environ
        for name in ("photos", "labels"):
            boto3.client("s3").create_bucket(Bucket=name)
        keys = [f"yard/{n % 40:02d}/{n:05d}.jpg" for n in range(items)]
        put_objects("photos", {key: bodies[n % len(bodies)] for n, key in enumerate(keys)})
        if is_flawed:
            flawed.flaws |= {key: list(FLAWS[n // 5 % len(FLAWS)]) for n, key in enumerate(keys) if n % 5 == 0}
            flawed.flaws[""] = ["break", 503, 500, "half"]
            server.troubled, server.methods = "labels/yard/", frozenset({"PUT", "POST", "DELETE"})
        told.send(environ)
        threading.Event().wait()


if __name__ == "__main__":
    main()
