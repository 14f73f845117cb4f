"""Disks that fail: a process killed at a system call, a disk without room."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGKILL

import pytest

from jobstore.errors import StoreUnavailable
from jobstore.schema import ItemRef, JobId
from producer.exporting import export_job
from tests.faults.fault import OPEN
from tests.faults.system import LEASE_S, ROOT, System, environment_of, running
from tests.fixtures.databases import PostgresServer
from tests.fixtures.fleet import wait_until

#: SQLite's writes to its log and its file; the k-th of a thread is the last thing that its process does.
WRITES = (1, 2, 3, 5, 8)
EXPORT_CALLS = (("fsync", 1), ("fsync", 2), ("fsync", 3), ("rename", 1), ("rename", 2))
DISK_MB = 64


def kill_at_writes(system: System, job_id: JobId) -> None:
    """Attach to a worker, and let the kernel end it inside of a write."""
    for number in WRITES:
        wait_until(system.worker_pids, 30, "a worker process")
        pid = system.rng.choice(system.worker_pids())
        tracer = subprocess.Popen([*_strace("pwrite64", number), "-f", "-p", str(pid)], stderr=subprocess.DEVNULL)
        wait_until(
            lambda pid=pid: pid not in system.worker_pids() or system.store.state(job_id) not in OPEN, 60, "a death"
        )
        tracer.terminate()
        tracer.wait()


def kill_exports(system: System, job_id: JobId) -> None:
    """An export that dies at a system call leaves nothing or all of it; the next one gives the bytes of any other."""
    whole = system.folder / "whole"
    export_job(system.producer, job_id, ["jsonl"], whole)
    expected = (whole / "results.jsonl").read_bytes()
    for call, number in EXPORT_CALLS:
        folder = system.folder / f"export_{call}_{number}"
        command = [sys.executable, "-m", "tests.faults.disks", system.worker_database_url, job_id, str(folder)]
        environment = {**environment_of({}), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run([*_strace(call, number), "-f", *command], env=environment, cwd=ROOT, check=False)
        assert done.returncode == -SIGKILL, f"the export was to die at {call} #{number}: status {done.returncode}"
        written = folder / "results.jsonl"
        assert not written.exists() or written.read_bytes() == expected, f"half an export after {call} #{number}"
        export_job(system.producer, job_id, ["jsonl"], folder)
        assert written.read_bytes() == expected, f"another export after {call} #{number}"


def _strace(call: str, number: int) -> list[str]:
    inject = f"inject={call}:signal=SIGKILL:when={number}"
    return ["strace", "-qq", "-o", os.devnull, "-e", f"trace={call}", "-e", inject]


@contextlib.contextmanager
def on_small_disk(mode: str, folder: Path, seed: int, postgres: Callable[[], PostgresServer]) -> Iterator[System]:
    """Everything that is written lies on a disk of its own."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder)], check=True)
    try:
        with running(mode, folder, seed, postgres) as system:
            yield system
    finally:
        # Lazily: a process that has not ended yet must not keep the disk.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(system: System, _: JobId) -> None:
    """Take the last byte for two leases: a submit is refused with words, and accepts nothing."""
    before = system.store.jobs()
    ballast = system.folder / "ballast"
    with pytest.raises(OSError, match="No space left"):
        _fill(ballast)
    with pytest.raises(StoreUnavailable, match="full"):
        system.producer.submit(system.spec(), (ItemRef(f"/pictures/{number}.png") for number in range(100_000)))
    system.pause(2 * LEASE_S)
    ballast.unlink()
    assert [job.job_id for job in system.store.jobs()] == [job.job_id for job in before], "a refused job was accepted"


def _fill(file: Path) -> None:
    with file.open("wb", buffering=0) as opened:
        while True:
            opened.write(bytes(2**16))


def main(database_url: str, job_id: str, folder: str) -> None:
    """Export a job, as the command does."""
    from jobstore.dispatch import Doorbell
    from jobstore.store import JobStore
    from producer.direct import Direct

    producer = Direct(JobStore.open(database_url), Doorbell("redis://127.0.0.1:1/0"))
    export_job(producer, JobId(job_id), ["jsonl"], Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
