"""The whole system for one fault: servers behind proxies, worker machines as processes, and a job to get through."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from sqlalchemy import text

from jobstore.dispatch import Doorbell
from jobstore.errors import StoreUnavailable
from jobstore.schema import ItemRef, JobId, JobSpec, JobState, OutcomeState
from jobstore.store import JobStore
from jobstore.views import JobStatus, ResultRow
from producer.direct import Direct
from producer.exporting import export_job
from tests.faults.model import expected_record, write_model, write_pictures
from tests.faults.proxy import FaultProxy
from tests.fixtures.databases import PostgresServer
from tests.fixtures.fleet import RestartableRedis, wait_until
from workers.config import WorkerConfig

ROOT = Path(__file__).parents[2]
INJECT = Path(__file__).parent / "inject"
#: Seconds of a lease here; a fleet has 60.
LEASE_S = 2.0
#: Seconds between two ticks of a relay here; a fleet has 1.
RELAY_INTERVAL_S = 0.3
#: What the promise adds to the lease: seconds until the items of a dead worker run again.
RECOVERY_S = 5.0


def environment_of(told: Mapping[str, str]) -> dict[str, str]:
    """What a process of ours is started with; where it is told something, it reads `inject/sitecustomize.py`."""
    path = f"{ROOT}{os.pathsep}{INJECT}" if told else str(ROOT)
    return {**os.environ, "PYTHONPATH": path, **told}


@dataclass
class Machine:
    """A launcher with its worker processes."""

    process: subprocess.Popen[bytes]

    @property
    def is_alive(self) -> bool:
        """Whether the launcher runs."""
        return self.process.poll() is None

    def workers(self) -> list[int]:
        """Process ids of its workers."""
        children = Path(f"/proc/{self.process.pid}/task")
        found = [task / "children" for task in children.iterdir()] if children.exists() else []
        with contextlib.suppress(OSError):
            return [int(pid) for file in found for pid in file.read_text().split()]
        return []


@dataclass
class System:
    """Started by `running`; faults act on its parts.

    Attributes:
        worker_broker_url, worker_database_url: the machines' way to the servers; the harness itself goes straight.
        relays: processes that are nothing else; each machine has one of its own.
        redis_proxy, database_proxy: on that way, in front of Redis and of PostgreSQL.
        environment: what every machine's processes find in theirs, to be read by `inject/sitecustomize.py`.
        options: of the machines' configuration, where the fault needs others.
        longest_stall_s: longest time without a new outcome while the job ran.
    """

    folder: Path
    redis: RestartableRedis
    worker_broker_url: str
    store: JobStore
    worker_database_url: str
    seed: int
    postgres: PostgresServer | None = None
    redis_proxy: FaultProxy | None = None
    database_proxy: FaultProxy | None = None
    machines: list[Machine] = field(default_factory=list)
    relays: list[subprocess.Popen[bytes]] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    options: dict[str, object] = field(default_factory=dict)
    longest_stall_s: float = 0.0
    items: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.producer = Direct(self.store, Doorbell(self.redis.url))
        self.model = write_model(self.folder / "model")

    @property
    def mode(self) -> str:
        """Which of the two modes this is."""
        return "server" if self.postgres else "embedded"

    # -- work ----------------------------------------------------------------------------------------------------------

    def submit(self, count: int, **spec: object) -> JobId:
        """Hand over `count` pictures in shards of sixteen."""
        return self.producer.submit(self.spec(**spec), self.pictures(count))

    def spec(self, **options: object) -> JobSpec:
        """What is asked for."""
        return JobSpec(model=str(self.model), **{"shard_size": 16, "use_cache": False, **options})

    def pictures(self, count: int) -> list[ItemRef]:
        """Write them, and give them as items."""
        self.items = count
        return [ItemRef(str(file)) for file in write_pictures(self.folder / "pictures", count)]

    def start_machine(self, environment: Mapping[str, str] | None = None) -> Machine:
        """Start a launcher with one worker process; `environment` is this machine's own."""
        process = self._start("tests.faults.machine", {**self.environment, **(environment or {})}, self.options)
        self.machines.append(Machine(process))
        return self.machines[-1]

    def start_relay(self, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start a process that is a relay and nothing else."""
        self.relays.append(self._start("tests.faults.relaying", environment, {}))
        return self.relays[-1]

    def _start(
        self, program: str, environment: Mapping[str, str], options: Mapping[str, object]
    ) -> subprocess.Popen[bytes]:
        """Start a program of ours with the fleet's configuration on its standard input."""
        config = WorkerConfig(
            self.worker_database_url,
            self.worker_broker_url,
            **{  # type: ignore[arg-type]
                "hardware": "cpu",
                "metrics_port": 0,
                "lease_s": LEASE_S,
                "relay_interval_s": RELAY_INTERVAL_S,
                "resend_after_s": 1.0,
                "window": 8,
                "drain_s": 8.0,
                "log_level": "ERROR",
                **options,
            },
        )
        with (self.folder / "machines.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", program],
                stdin=subprocess.PIPE,
                stderr=log,
                env=environment_of(environment),
                cwd=ROOT,
            )
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(config))
        process.stdin.close()
        return process

    def done(self, job_id: JobId) -> int:
        """Items that have an outcome; 0 while the database is away."""
        with contextlib.suppress(StoreUnavailable):
            return self.store.status(job_id).done
        return 0

    def wait_for(self, job_id: JobId, items: int) -> None:
        """Wait until so many items have an outcome."""
        wait_until(lambda: self.done(job_id) >= items, 90, f"{items} items done")

    def deaths(self, job_id: JobId) -> int:
        """Workers that were counted as lost over the job's shards, halves of a shard with what they inherited."""
        with self.store._db._reader.connect() as database:
            counted = text("SELECT coalesce(sum(deaths), 0) FROM shards WHERE job_id = :job_id")
            return int(database.execute(counted, {"job_id": job_id}).scalar_one())

    def tries(self, job_id: JobId) -> int:
        """The most often that an item was begun within one attempt of its shard."""
        with self.store._db._reader.connect() as database:
            most = text("SELECT max(tries) FROM outcomes WHERE job_id = :job_id")
            return int(database.execute(most, {"job_id": job_id}).scalar_one())

    def worker_pids(self) -> list[int]:
        """Worker processes of all machines."""
        return [pid for machine in self.machines for pid in machine.workers()]

    def pause(self, seconds: float) -> None:
        """Let a fault last; the only clock that a fault has."""
        time.sleep(seconds)

    def keep_machines(self) -> None:
        """Start a machine for each that ended, as an init system would."""
        for machine in [machine for machine in self.machines if not machine.is_alive]:
            self.machines.remove(machine)
            self.start_machine()

    def finish(self, job_id: JobId, timeout_s: float = 120.0) -> JobStatus:
        """Wait for the job's end; machines that ended are started again."""
        deadline = time.monotonic() + timeout_s
        while True:
            self.keep_machines()
            with contextlib.suppress(StoreUnavailable):
                status = self.store.status(job_id)
                if status.is_ended:
                    return status
            assert time.monotonic() < deadline, f"{self.done(job_id)} items done after {timeout_s} s\n{self.log()}"
            time.sleep(0.05)

    @contextlib.contextmanager
    def watching(self, job_id: JobId) -> Iterator[None]:
        """Note the longest time without a new outcome while the block runs and the job does."""
        over = threading.Event()

        def watch() -> None:
            seen, since = -1, time.monotonic()
            while not over.wait(0.05):
                done = self.done(job_id)
                if done > seen:
                    seen, since = done, time.monotonic()
                elif 0 < done < self.items:  # before the first one, machines start
                    self.longest_stall_s = max(self.longest_stall_s, time.monotonic() - since)

        thread = threading.Thread(target=watch, name="watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def log(self) -> str:
        """The last lines that the machines wrote."""
        file = self.folder / "machines.log"
        return "\n".join(file.read_text(errors="replace").splitlines()[-30:]) if file.exists() else ""

    def stop(self) -> None:
        """End the machines, at once where they do not drain, and the relays."""
        for relay in self.relays:
            relay.kill()
            relay.wait()
        for machine in self.machines:
            if machine.is_alive:
                machine.process.terminate()
        for machine in self.machines:
            try:
                machine.process.wait(20)
            except subprocess.TimeoutExpired:
                for pid in machine.workers():
                    os.kill(pid, signal.SIGKILL)
                machine.process.kill()
                machine.process.wait()


@dataclass(frozen=True)
class Verdict:
    """What the books say after a fault.

    Attributes:
        lost: accepted items without an outcome.
        doubled: items with more than one outcome, or more than one line in the export.
        wrong: outcomes that are not what the picture's colour gives, or fail as they should not; each in words.
        repeated: items that were done in a second or later attempt of their shard.
    """

    items: int
    lost: int
    doubled: int
    wrong: tuple[str, ...]
    repeated: int
    problems: tuple[str, ...]

    @property
    def is_good(self) -> bool:
        """Nothing lost, doubled or wrong, and the books balance."""
        return not (self.lost or self.doubled or self.wrong or self.problems)


def judge(system: System, job_id: JobId, count: int, fails: Mapping[int, str]) -> Verdict:
    """Hold rows, counters, records and an export against the pictures that were handed over.

    Args:
        fails: picture -> error code that it should have.
    """
    rows = list(system.store.results(job_id))
    seen = Counter(row.idx for row in rows)
    status = system.store.status(job_id)
    problems = []
    states = Counter(row.state for row in rows)
    if (status.ok, status.failed, status.skipped) != tuple(
        states[state] for state in (OutcomeState.OK, OutcomeState.FAILED, OutcomeState.SKIPPED)
    ):
        problems.append(f"counters {status.ok}/{status.failed}/{status.skipped}, rows {dict(states)}")
    if status.state is not (JobState.COMPLETED_WITH_ERRORS if fails else JobState.COMPLETED):
        problems.append(f"the job is {status.state}: {status.message or system.store.failures(job_id)}")
    if left := [row for row in system.store.fleet.queues() if row.leased or row.pending or row.queued]:
        problems.append(f"shards are left: {left}")
    exported = _exported(system, job_id)
    wrong = [_in_words(row) for row in rows if not _is_as_it_should(row, fails)]
    if any(row.decision_id is None for row in rows if row.state is OutcomeState.OK):
        problems.append("outcomes without a decision")
    return Verdict(
        items=count,
        lost=count - len(seen),
        doubled=sum(n - 1 for n in seen.values()) + sum(n - 1 for n in exported.values()),
        wrong=tuple(wrong),
        repeated=sum(row.attempt > 1 for row in rows),
        problems=tuple(problems),
    )


def _is_as_it_should(row: ResultRow, fails: Mapping[int, str]) -> bool:
    if row.idx in fails:
        return row.error is not None and row.error.code == fails[row.idx]
    return row.record is not None and _is_right(row.idx, row.record)


def _in_words(row: ResultRow) -> str:
    found = f"{row.error.code}: {row.error.message}" if row.error else str(row.record)
    return f"item {row.idx} is {row.state} in attempt {row.attempt}, {found}"


def _is_right(index: int, record: dict[str, object]) -> bool:
    expected = expected_record(index)
    flat = [*record["confidence"], *(value for row in record["xyxy"] for value in row)]  # type: ignore[misc, attr-defined]
    wanted = [*expected["confidence"], *expected["xyxy"]]
    return len(flat) == len(wanted) and all(abs(a - b) < 1e-3 for a, b in zip(flat, wanted, strict=True))


def _exported(system: System, job_id: JobId) -> Counter[str]:
    folder = system.folder / "out"
    export_job(system.producer, job_id, ["jsonl"], folder)
    lines = (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()
    return Counter(str(msgspec.json.decode(line)["uri"]) for line in lines)


@contextlib.contextmanager
def running(mode: str, folder: Path, seed: int, postgres: Callable[[], PostgresServer]) -> Iterator[System]:
    """Start the servers of a mode, `embedded` (SQLite) or `server` (PostgreSQL), and end everything afterwards."""
    with contextlib.ExitStack() as stack:
        redis = RestartableRedis(folder)
        redis.start()
        stack.callback(redis.kill)
        redis_proxy = FaultProxy(("127.0.0.1", redis.port))
        redis_proxy.start()
        stack.callback(redis_proxy.stop)
        parts: dict[str, object] = {}
        if mode == "embedded":
            url = worker_url = f"sqlite:///{folder / 'store.db'}"
        else:
            server = postgres()
            name = f"fault_{folder.name.replace('-', '_')}"
            server.execute(f"CREATE DATABASE {name}")
            url = server.url(name)
            proxy = FaultProxy(server.socket_path)
            proxy.start()
            stack.callback(proxy.stop)
            worker_url = (
                f"postgresql+psycopg://nightshift@127.0.0.1:{proxy.port}/{name}?sslmode=disable&gssencmode=disable"
            )
            parts = {"postgres": server, "database_proxy": proxy}
        store = stack.enter_context(JobStore.open(url))
        store.create_schema()
        broker_url = f"redis://127.0.0.1:{redis_proxy.port}/0"
        system = System(folder, redis, broker_url, store, worker_url, seed, redis_proxy=redis_proxy, **parts)  # type: ignore[arg-type]
        stack.callback(system.producer.close)
        stack.callback(system.stop)
        yield system
