"""Ctrl-C in the one-command job, at any moment, and the same command again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from jobstore.schema import JobId
from jobstore.store import JobStore
from producer.machine import store_url
from tests.faults.fault import EMBEDDED, SERVER, Fault, nothing
from tests.faults.system import System, environment_of, judge, running
from tests.fixtures.cli import DEADLINE_S, nightshift, start, take_ctrl_c
from tests.fixtures.databases import PostgresServer
from tests.fixtures.fleet import RestartableRedis, wait_until

INTERRUPTS = 20
#: Name of the job, of one picture, after which the fleet is known to work.
WARM_UP = "warm-up"
#: What the command leaves with: as in every shell, or by the signal itself where it had not come to its own code.
STOPPED = {130, -signal.SIGINT}
#: Seconds that processes may need to end after the command that started them.
ORPHANS_S = 10.0


@contextlib.contextmanager
def by_commands(mode: str, folder: Path, seed: int, postgres: Callable[[], PostgresServer]) -> Iterator[System]:
    """Embedded, nothing runs but what the command starts, and the database is made by it; else the fleet."""
    if mode == "server":
        with running(mode, folder, seed, postgres) as system:
            yield system
        return
    url = store_url(folder / "data")
    with JobStore.open(url) as store:
        system = System(folder, RestartableRedis(folder), "", store, url, seed)
        try:
            yield system
        finally:
            system.producer.close()


def submit_through_interrupts(system: System, count: int) -> JobId:
    """Interrupt the command at twenty moments of its life, let it through, then go on with what it left each time."""
    system.pictures(count)
    whole_s = _seconds_of_a_run(system)
    told, left = [], Counter[int]()
    for _ in range(INTERRUPTS):
        status, said, took_s = _interrupted(system, system.rng.uniform(0, whole_s))
        if status == 0:  # sooner than before: what was labelled is taken over
            whole_s = min(whole_s, took_s)
        assert status in {0, *STOPPED}, f"status {status} after an interrupt:\n{said}"
        assert "Traceback" not in said or status == -signal.SIGINT, said
        left[status] += 1
        told += [line.rpartition("job ")[2].split()[0] for line in said.splitlines() if line.startswith("reading")]
        assert status != 130 or "nightshift watch" in said or "nightshift jobs" in said, f"no way on is told:\n{said}"
    assert sum(left[status] for status in STOPPED) >= INTERRUPTS // 4, f"too few were interrupted: {left}"
    status, out, err = nightshift(_environment(system), *_command(system))
    assert status == 0, err
    _no_processes(system)
    job_id = JobId(msgspec.json.decode(out)["job_id"])
    assert all(any(job.job_id.endswith(word) for job in system.store.jobs()) for word in told), (
        "an accepted job is gone"
    )
    return job_id


def nothing_is_left(system: System, job_id: JobId) -> None:
    """The last run's export is whole; each job that an interrupt left is ended by the words that it was told."""
    lines = (system.folder / "labels" / "results.jsonl").read_bytes().splitlines()
    uris = Counter(msgspec.json.decode(line)["uri"] for line in lines)
    assert len(uris) == system.items, f"{len(uris)} of {system.items} items are in the export"
    assert set(uris.values()) == {1}
    others = [job for job in system.store.jobs(limit=2 * INTERRUPTS) if job.job_id != job_id and job.name != WARM_UP]
    for job in others:
        status, _, err = nightshift(_environment(system), "watch", job.job_id[-6:])
        assert status == 0, err
        verdict = judge(system, job.job_id, system.items, {})
        assert verdict.is_good, verdict
    _no_processes(system)
    assert not list((system.folder / "tmp").iterdir()), "temporary files were left behind"


def _command(system: System) -> tuple[str, ...]:
    source, output = str(system.folder / "pictures"), str(system.folder / "labels")
    return ("run", source, "-m", str(system.model), "-o", output, "-f", "jsonl", "--shard-size", "16", "--json")


def _environment(system: System, folder: str = "data") -> dict[str, str]:
    """The user's; a command of the fleet finds it by two variables."""
    kept = {name: value for name, value in environment_of({}).items() if not name.startswith("NIGHTSHIFT_")}
    temporary = system.folder / "tmp"
    temporary.mkdir(exist_ok=True)
    own = {"NIGHTSHIFT_DATA_DIR": str(system.folder / folder), "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    if system.mode == "server":
        own |= {"NIGHTSHIFT_BROKER_URL": system.redis.url, "NIGHTSHIFT_DATABASE_URL": system.worker_database_url}
    return kept | own


def _seconds_of_a_run(system: System) -> float:
    """What the command takes; embedded, in a data folder of its own, so that interrupts meet the very first run."""
    if system.machines:  # which start meanwhile
        status, _, err = nightshift(
            _environment(system, "measured"), *_command(system), "--limit", "1", "--name", WARM_UP
        )
        assert status == 0, err
    begun = time.monotonic()
    status, _, err = nightshift(_environment(system, "measured"), *_command(system))
    assert status == 0, err
    return time.monotonic() - begun


def _interrupted(system: System, after_s: float) -> tuple[int, str, float]:
    """Press Ctrl-C: the terminal sends it to the command and to all that stand in its process group.

    Returns:
        Status, what was said, and the seconds until the signal, or until the end if that came sooner.
    """
    begun = time.monotonic()
    with start(_environment(system), *_command(system), start_new_session=True, preexec_fn=take_ctrl_c) as process:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(after_s)
        took_s = time.monotonic() - begun
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=DEADLINE_S)
    _no_processes(system)
    # Python itself says so, with status 1, of an interrupt that comes before it has got as far as our first line.
    is_before_us = "Fatal Python error: init_import_site" in said
    return -signal.SIGINT if is_before_us else process.returncode, said, took_s


def _no_processes(system: System) -> None:
    """Whatever the command started has ended: each process of it has our data folder in its environment."""
    mark = f"NIGHTSHIFT_DATA_DIR={system.folder}".encode()
    wait_until(lambda: not _marked(mark), ORPHANS_S, "the end of all that the command started")


def _marked(mark: bytes) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if mark in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
    return found


FAULTS = tuple(
    Fault(
        name,
        "Ctrl-C in `nightshift run` at 20 moments, then again",
        nothing,
        modes,
        submit=submit_through_interrupts,
        check=nothing_is_left,
        stage=by_commands,
        machines=machines,
        is_quick=False,
        items=600,
    )
    for name, modes, machines in (("F09", EMBEDDED, 0), ("F09b", SERVER, 2))
)
