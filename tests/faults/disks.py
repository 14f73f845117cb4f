"""Disks that fail: a process killed at a system call, a disk without room."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGKILL

import pytest

from jobstore.errors import StoreUnavailable
from jobstore.schema import ItemRef, JobId
from producer.errors import ExportFailed
from producer.exporting import export_job
from tests.faults.fault import EMBEDDED, OPEN, SERVER, Fault, nothing
from tests.faults.system import LEASE_S, ROOT, System, environment_of, running
from tests.fixtures.databases import PostgresServer, postgres_binaries
from tests.fixtures.disks import disk, remount
from tests.fixtures.fleet import wait_until

#: SQLite's writes to its log and its file; the k-th of a thread is the last thing that its process does.
WRITES = (1, 2, 3, 5, 8)
EXPORT_CALLS = (("fsync", 1), ("fsync", 2), ("fsync", 3), ("rename", 1), ("rename", 2))
DISK_MB = 64
#: PostgreSQL's first files take 40 MB, its log the rest.
POSTGRES_MB = 192
#: Files that a disk has place for: the pictures of a job, and some.
FILES = 3000
#: Where a store lies that has a disk of its own.
STORE = "store"


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
    with disk(folder, f"size={DISK_MB}m"), running(mode, folder, seed, postgres) as system:
        yield system


@contextlib.contextmanager
def on_few_files(mode: str, folder: Path, seed: int, postgres: Callable[[], PostgresServer]) -> Iterator[System]:
    """The disk has room, and place for so many files only."""
    with disk(folder, f"nr_inodes={FILES}"), running(mode, folder, seed, postgres) as system:
        yield system


@contextlib.contextmanager
def with_small_postgres(mode: str, folder: Path, seed: int, _: Callable[[], PostgresServer]) -> Iterator[System]:
    """PostgreSQL's files lie on a disk of their own; a server that ends is started again, as an init system would."""
    home = Path(tempfile.mkdtemp(prefix="nightshift-pg-"))
    server = PostgresServer(postgres_binaries(), home=home)
    with contextlib.ExitStack() as stack:
        stack.callback(server.stop)
        stack.enter_context(disk(home, f"size={POSTGRES_MB}m"))
        server.start()
        yield stack.enter_context(running(mode, folder, seed, lambda: server))


@contextlib.contextmanager
def with_store_apart(mode: str, folder: Path, seed: int, postgres: Callable[[], PostgresServer]) -> Iterator[System]:
    """The store has a disk of its own; pictures and logs have not."""
    apart = folder / STORE
    apart.mkdir()
    with disk(apart, f"size={DISK_MB}m"), running(mode, apart, seed, postgres) as system:
        system.folder = folder
        yield system


def fill(system: System, _: JobId) -> None:
    """Take the last byte for two leases: a submit is refused with words, and accepts nothing."""
    before = [job.job_id for job in system.store.jobs()]
    ballast = (Path(system.postgres.socket_path).parent if system.postgres else system.folder) / "ballast"
    with pytest.raises(OSError, match="No space left"):
        _fill(ballast)
    with pytest.raises(StoreUnavailable, match=r"full|No space left"):
        system.producer.submit(system.spec(), (ItemRef(f"/pictures/{number}.png") for number in range(100_000)))
    system.pause(2 * LEASE_S)
    ballast.unlink()
    if system.postgres is not None:
        system.postgres.revive()
    assert [job.job_id for job in system.store.jobs()] == before, "a refused job was accepted"


def _fill(file: Path) -> None:
    with file.open("wb", buffering=0) as opened:
        while True:
            opened.write(bytes(2**16))


def take_every_file(system: System, job_id: JobId) -> None:
    """Leave no place for another file for two leases: an export is refused with words, and leaves nothing."""
    folder, out = system.folder / "ballast", system.folder / "refused"
    folder.mkdir()
    with pytest.raises(OSError, match="No space left"):
        _touch(folder)
    with pytest.raises(ExportFailed, match="No space left"):
        export_job(system.producer, job_id, ["jsonl"], out)
    assert not out.exists() or not any(out.iterdir()), f"half an export: {list(out.iterdir())}"
    system.pause(2 * LEASE_S)
    shutil.rmtree(folder)


def _touch(folder: Path) -> None:
    for number in range(FILES):
        (folder / f"{number}").touch()


def refuse_writes(system: System, _: JobId) -> None:
    """For two leases every write to the store by a worker ends as on a disk that the kernel made read only."""
    tracers = []
    for pid in system.worker_pids():
        command = ["strace", "-qq", "-o", os.devnull, "-e", "trace=pwrite64", "-e", "inject=pwrite64:error=EROFS"]
        tracers.append(subprocess.Popen([*command, "-f", "-p", str(pid)], stderr=subprocess.DEVNULL))
    system.pause(2 * LEASE_S)
    for tracer in tracers:
        tracer.terminate()
        tracer.wait()


def forbid_growth(system: System, _: JobId) -> None:
    """For two leases no file of a worker may grow, as where its owner's share of the disk is used up."""
    pids = system.worker_pids()
    for pid in pids:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    system.pause(2 * LEASE_S)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def start_read_only(system: System, _: JobId) -> None:
    """Machines that start again find the store's disk read only for two leases; a submit is refused with words."""
    workers = system.worker_pids()
    for machine in system.machines:
        machine.process.kill()
        machine.process.wait()
    for pid in workers:  # at once: they would finish their shards first
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, SIGKILL)
    apart = system.folder / STORE
    wait_until(lambda: _is_remounted(system, apart), 60, "a disk that nobody writes to")
    system.keep_machines()
    with pytest.raises(StoreUnavailable, match=r"readonly|read-only|unable to open"):
        system.producer.submit(system.spec(), [ItemRef("/pictures/1.png")])
    system.pause(2 * LEASE_S)
    system.store.close()
    assert remount(apart, is_read_only=False)


def _is_remounted(system: System, folder: Path) -> bool:
    """The kernel refuses while a file is open for writing: by a worker that has not ended yet, or by ourselves."""
    system.store.close()
    return remount(folder, is_read_only=True)


def main(database_url: str, job_id: str, folder: str) -> None:
    """Export a job, as the command does."""
    from jobstore.dispatch import Doorbell
    from jobstore.store import JobStore
    from producer.direct import Direct

    producer = Direct(JobStore.open(database_url), Doorbell("redis://127.0.0.1:1/0"))
    export_job(producer, JobId(job_id), ["jsonl"], Path(folder))


_MOUNTS = ("root", "mount")
FAULTS = (
    Fault(
        "F04", "kill -9 at SQLite's writes, by strace", kill_at_writes, EMBEDDED,
        lasts_s=4, starts=2, needs=("strace",), is_quick=False,
    ),
    Fault(
        "F33", "disk full under SQLite for two leases", fill, EMBEDDED, stage=on_small_disk,
        lasts_s=2 * LEASE_S + 2, needs=_MOUNTS, is_quick=False,
    ),
    Fault(
        "F33c", "disk full under PostgreSQL for two leases", fill, SERVER, stage=with_small_postgres,
        lasts_s=2 * LEASE_S + 6, starts=1, needs=_MOUNTS, is_quick=False,
    ),
    Fault(
        "F33d", "no place for another file for two leases", take_every_file, EMBEDDED, stage=on_few_files,
        lasts_s=2 * LEASE_S, needs=_MOUNTS, is_quick=False,
    ),
    Fault(
        "F33e", "writes to SQLite refused (EROFS) for two leases", refuse_writes, EMBEDDED,
        lasts_s=2 * LEASE_S + 2, needs=("strace",), is_quick=False,
    ),
    Fault(
        "F33f", "machines start on a read-only disk, for two leases", start_read_only, EMBEDDED, stage=with_store_apart,
        lasts_s=2 * LEASE_S + 8, starts=2, needs=_MOUNTS, is_quick=False,
    ),
    Fault(
        "F33g", "no file of a worker may grow for two leases", forbid_growth, EMBEDDED,
        lasts_s=2 * LEASE_S + 2, is_quick=False,
    ),
    Fault(
        "F34", "kill -9 at fsync and rename of an export", nothing, check=kill_exports,
        needs=("strace",), is_quick=False, items=300,
    ),
)  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
