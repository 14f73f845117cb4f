"""One fault from its start to its verdict, and the table over all of them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from jobstore.schema import JobId
from tests.faults.fault import Fault, nothing
from tests.faults.system import LEASE_S, RECOVERY_S, System, Verdict, judge
from tests.fixtures.databases import PostgresServer, postgres_binaries

#: Outcomes that the job has when the fault comes.
FIRST_ITEMS = 30
#: Jobs, each twice as large as the one before, until one is not over when the fault comes: on a machine with other work
#: the harness may get its turn late.
MOST_JOBS = 4
#: Wrong outcomes that a row of the table names.
SHOWN = 5


@dataclass(frozen=True)
class Result:
    """What a fault did.

    Attributes:
        stall_s: longest time without a new outcome.
        start_s: what the machines took from their start to the first outcomes, on this machine, with this load.
        error: why there is no verdict; empty otherwise.
    """

    fault: Fault
    mode: str
    seconds: float
    stall_s: float
    start_s: float
    verdict: Verdict | None
    error: str = ""

    @property
    def allowed_stall_s(self) -> float:
        """A lease, the time to notice, what the fault itself takes, and the starts of the processes that it ends."""
        return LEASE_S + RECOVERY_S + self.fault.lasts_s + self.fault.starts * self.start_s

    @property
    def is_survived(self) -> bool:
        """Nothing lost, doubled or wrong, and the work went on in time."""
        return self.verdict is not None and self.verdict.is_good and self.stall_s <= self.allowed_stall_s


def run_fault(fault: Fault, mode: str, seed: int, postgres: Callable[[], PostgresServer], folder: Path) -> Result:
    """Submit, break, wait, judge."""
    started = time.monotonic()
    with fault.stage(mode, folder, seed, postgres) as system:
        fault.prepare(system)
        for _ in range(fault.machines):
            system.start_machine()
        job_id = fault.submit(system, fault.items)
        begun = time.monotonic()
        if not system.environment:
            system.wait_for(job_id, FIRST_ITEMS)
        start_s = time.monotonic() - begun
        if fault.inject is not nothing and not system.environment:
            job_id = _one_that_runs(system, fault, job_id)
        with system.watching(job_id):
            fault.inject(system, job_id)
            system.finish(job_id, 120 + fault.lasts_s + fault.starts * start_s)
        fault.check(system, job_id)
        verdict = judge(system, job_id, system.items, fault.fails)
        return Result(fault, mode, time.monotonic() - started, system.longest_stall_s, start_s, verdict)


def _one_that_runs(system: System, fault: Fault, job_id: JobId) -> JobId:
    """Give the job while it runs, or else one of more items."""
    for _ in range(MOST_JOBS):
        if not system.store.status(job_id).is_ended:
            return job_id
        job_id = fault.submit(system, 2 * system.items)
        system.wait_for(job_id, FIRST_ITEMS)
    raise AssertionError(f"jobs of up to {system.items} items were over before the fault")


def run_all(
    faults: Iterable[Fault], seed: int, seconds: float, tell: Callable[[str], None], modes: tuple[str, ...]
) -> list[Result]:
    """Every fault in every mode it has, again and again with new seeds until the time is over; each once at least."""
    results: list[Result] = []
    servers: list[PostgresServer] = []

    def postgres() -> PostgresServer:
        if not servers:
            servers.append(PostgresServer(postgres_binaries()))
            servers[0].start()
        return servers[0]

    deadline, rounds = time.monotonic() + seconds, 0
    able = [fault for fault in faults if not fault.missing]
    todo = [(fault, mode) for fault in able for mode in fault.modes if mode in modes]
    try:
        tell(HEAD)
        for fault in (fault for fault in faults if fault.missing):
            tell(f"{fault.name:<34} not run: this machine has no {fault.missing}  {fault.title}")
        while rounds == 0 or time.monotonic() < deadline:
            for fault, mode in todo:
                if rounds and time.monotonic() >= deadline:
                    break
                results.append(_guarded(fault, mode, seed + rounds, postgres))
                tell(row(results[-1]))
            rounds += 1
    finally:
        for server in servers:
            server.stop()
    return results


def _guarded(fault: Fault, mode: str, seed: int, postgres: Callable[[], PostgresServer]) -> Result:
    """A fault that the harness itself does not survive is a row as well."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fault-") as folder:
        try:
            return run_fault(fault, mode, seed, postgres, Path(folder))
        except Exception as error:  # noqa: BLE001 (told in the table)
            return Result(fault, mode, time.monotonic() - started, 0.0, 0.0, None, f"{type(error).__name__}: {error}")


HEAD = (
    f"{'fault':<34} {'mode':<9} {'items':>6} {'lost':>5} {'doubled':>8} {'again':>6} {'stall s':>8} {'s':>6}  injected"
)


def row(result: Result) -> str:
    """One line of the table."""
    fault, verdict = result.fault, result.verdict
    if verdict is None:
        return f"{fault.name:<34} {result.mode:<9} FAILED {result.error}"
    line = (
        f"{fault.name:<34} {result.mode:<9} {verdict.items:>6} {verdict.lost:>5} {verdict.doubled:>8} "
        f"{verdict.repeated:>6} {result.stall_s:>8.1f} {result.seconds:>6.1f}  {fault.title}"
    )
    if result.is_survived:
        return line
    slow = "" if result.stall_s <= result.allowed_stall_s else f" stood still, {result.allowed_stall_s:.0f} s allowed"
    return f"{line}  FAILED {'; '.join((*verdict.problems, *verdict.wrong[:SHOWN]))}{slow}"
