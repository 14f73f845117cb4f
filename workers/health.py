"""Whether a worker machine is alive, and whether it takes work."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from jobstore.dispatch import Doorbell
from jobstore.errors import JobStoreError
from jobstore.store import JobStore

#: Seconds without a sign of life after which a process counts as hung: it gives one every two seconds, and one that
#: waits for a database that is away, every seventeen.
SILENT_S = 60.0


@dataclass(frozen=True, slots=True)
class ProcessState:
    """One worker process as its launcher sees it.

    Attributes:
        pid: None while it waits to be started again.
        uptime_s: since it was started.
    """

    name: str
    pid: int | None
    uptime_s: float


@dataclass(frozen=True, slots=True)
class Report:
    """An answer: well or not, and what was found, by what was looked at."""

    is_well: bool
    checks: Mapping[str, str]


def processes_report(processes: Sequence[ProcessState], beats: Mapping[int, float], now: float) -> Report:
    """Judge the processes by their last signs of life.

    A process that died is no reason to restart the machine: its launcher starts it again, with a back-off. One that is
    silent is: nothing here ends it.

    Args:
        beats: pid -> time of the last sign of life, by the same clock as `now`.
    """
    checks = {process.name: _words(process, beats, now) for process in processes}
    silent = [process for process in processes if _silence_s(process, beats, now) > SILENT_S]
    return Report(not silent, checks or {"processes": "none yet"})


def _silence_s(process: ProcessState, beats: Mapping[int, float], now: float) -> float:
    if process.pid is None:
        return 0.0
    return min(process.uptime_s, now - beats[process.pid]) if process.pid in beats else process.uptime_s


def _words(process: ProcessState, beats: Mapping[int, float], now: float) -> str:
    if process.pid is None:
        return "starts again"
    if process.pid not in beats:
        return f"no sign of life in its {process.uptime_s:.0f} s"
    return f"gave a sign of life {max(0.0, now - beats[process.pid]):.0f} s ago"


@dataclass(frozen=True, slots=True)
class Health:
    """What `/healthz` and `/readyz` answer.

    Attributes:
        processes: of this machine, as its launcher sees them.
        beats: their last signs of life.
    """

    store: JobStore
    doorbell: Doorbell
    processes: Callable[[], Sequence[ProcessState]]
    beats: Callable[[], Mapping[int, float]]

    def live(self) -> Report:
        """Whether no process hangs. A database or a broker that is away is no reason to restart anything."""
        return processes_report(self.processes(), self.beats(), time.time())

    def ready(self) -> Report:
        """Whether database and broker answer, the schema is this version's, and a process takes work."""
        processes, beats = self.processes(), self.beats()
        live = processes_report(processes, beats, time.time())
        working = sum(process.pid in beats for process in processes)
        found = {
            "database": _asked(self.store.check_schema),
            "broker": _asked(self.doorbell.version),
            "processes": f"{working} of {len(processes)} take work",
        }
        is_well = live.is_well and working > 0 and all(found[name] == "ok" for name in ("database", "broker"))
        return Report(is_well, {**found, **live.checks})


def _asked(question: Callable[[], object]) -> str:
    try:
        question()
    except JobStoreError as error:
        return str(error)
    return "ok"
