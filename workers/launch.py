"""Starts one process a device, restarts what dies, drains on SIGTERM. The relay runs here, beside the models."""

from __future__ import annotations

import logging
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from inference_engine.machine import probe_machine
from workers.config import WorkerConfig
from workers.exporter import exported
from workers.health import ProcessState
from workers.leaving import Exit
from workers.lifeline import Lifeline
from workers.logs import configure_logging
from workers.machine_numbers import ProcessFiles
from workers.placement import Slot, plan_slots
from workers.process import Orders, environment
from workers.signals import obey

logger = logging.getLogger(__name__)

#: Seconds before a process that died is started again: doubled with each death, reset by a minute of life.
_FIRST_BACKOFF_S, _LAST_BACKOFF_S, _HEALTHY_S = 0.5, 30.0, 60.0
_LOOK_INTERVAL_S = 0.1
#: Seconds that processes have, when told to leave at once, to give their shards back.
_LEAVE_S = 5.0


@dataclass(slots=True)
class _Child:
    """One slot and the process that serves it.

    Attributes:
        lifeline: by which its process is heard.
        is_retired: it ended as it should, because somebody asked it to drain; no other is started.
    """

    name: str
    slot: Slot
    process: subprocess.Popen[bytes] | None = None
    lifeline: Lifeline | None = None
    started: float = 0.0
    start_at: float = 0.0
    backoff_s: float = _FIRST_BACKOFF_S
    is_retired: bool = False


@dataclass(slots=True)
class Launcher:
    """The worker processes of this machine and its relay.

    Attributes:
        files: where the processes count; None: each counts for itself.
        beside: what else runs on this machine, each in a thread of its own, until the event that it is given is set.
        restarts: processes that ended before their time and were started again.
    """

    config: WorkerConfig
    files: ProcessFiles | None = None
    beside: Sequence[Callable[[threading.Event], None]] = ()
    restarts: int = 0
    _children: list[_Child] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _deadline: float = math.inf
    _kill_level: int = logging.WARNING

    def start(self) -> None:
        """Start everything and return at once.

        Raises:
            ValueError: the machine has no such hardware.
        """
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
        slots = plan_slots(probe_machine(), self.config.hardware, tuple(cores), self.config.cpu_processes)
        self._children = [_Child(f"{slot.hardware}-{index}", slot) for index, slot in enumerate(slots)]
        # Linux tells a child of its parent's death when the thread that started it ends: the supervisor starts all.
        for target in (self._supervise, self._relay):
            thread = threading.Thread(target=target, name=target.__name__.strip("_"), daemon=True)
            thread.start()
            self._threads.append(thread)
        for work in self.beside:
            thread = threading.Thread(target=work, args=(self._stopping,), name="beside", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self, grace_s: float | None = None) -> None:
        """Drain: SIGTERM to all, SIGKILL to what is left when the grace time is over. Nothing is lost either way.

        Args:
            grace_s: None: what the configuration says; 0: idle processes need none, and none is missed.
        """
        grace_s = self.config.drain_s + 5 if grace_s is None else grace_s
        self._kill_level = logging.WARNING if grace_s else logging.DEBUG
        self._deadline = min(self._deadline, time.monotonic() + grace_s)
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def leave(self) -> None:
        """Leave at once: processes give back what they hold, and those that cannot are killed by `stop`."""
        self._stopping.set()
        self._deadline = time.monotonic() + _LEAVE_S
        for child in self._children:
            if child.process and child.process.poll() is None:
                child.process.send_signal(signal.SIGQUIT)

    @property
    def is_retired(self) -> bool:
        """Whether every process ended because somebody asked it to drain."""
        return bool(self._children) and all(child.is_retired for child in self._children)

    @property
    def alive(self) -> int:
        """Processes that run."""
        return sum(1 for child in self._children if child.process and child.process.poll() is None)

    @property
    def pids(self) -> list[int]:
        """Of the processes that run."""
        return [c.process.pid for c in self._children if c.process and c.process.poll() is None]

    def processes(self) -> list[ProcessState]:
        """How each process stands; those that were asked to leave and left are missing."""
        now = time.monotonic()
        there = [child for child in self._children if not child.is_retired]
        return [ProcessState(c.name, c.process.pid if c.process else None, now - c.started) for c in there]

    def _supervise(self) -> None:
        while not self._stopping.is_set():
            for child in self._children:
                self._look_after(child)
            self._stopping.wait(_LOOK_INTERVAL_S)
        self._drain()

    def _look_after(self, child: _Child) -> None:
        now = time.monotonic()
        if child.process is not None and (status := child.process.poll()) is not None:
            self._bury(child, status, now)
        elif child.process and child.lifeline and child.lifeline.silent_s(now) > self._silence_s:
            logger.error("worker %s is not heard any more", child.name, extra={"event": "worker_silent"})
            child.process.kill()
            child.backoff_s = _FIRST_BACKOFF_S  # it hung, as one that says so by `Exit.HUNG`
        if child.process is None and now >= child.start_at and not child.is_retired:
            self._spawn(child, now)

    @property
    def _silence_s(self) -> float:
        """Seconds after which a process that is not heard is replaced; its leases have run out by then."""
        return self.config.forward_timeout_s + self.config.lease_s

    def _bury(self, child: _Child, status: int, now: float) -> None:
        """Say what became of a process, and when the next one starts."""
        child.is_retired = status == Exit.DRAINED
        self.restarts += not child.is_retired
        if self.files is not None and child.process is not None:
            self.files.forget(child.process.pid)
        if now - child.started > _HEALTHY_S or status == Exit.HUNG:
            # Who hangs has been at work for as long as his limit; waiting longer makes nothing better.
            child.backoff_s = _FIRST_BACKOFF_S
        logger.warning(
            "worker %s ended with %d, %s",
            child.name,
            status,
            "as it was asked to" if child.is_retired else f"starts again in {child.backoff_s:.1f} s",
            extra={"event": "worker_drained" if child.is_retired else "worker_died", "status": status},
        )
        if child.lifeline is not None:
            child.lifeline.close()
        child.process, child.lifeline, child.start_at = None, None, now + child.backoff_s
        child.backoff_s = min(child.backoff_s * 2, _LAST_BACKOFF_S)

    def _spawn(self, child: _Child, now: float) -> None:
        child.lifeline, writing = Lifeline.make(now)
        orders = msgspec.json.encode(Orders(self.config, child.slot, child.name, os.getpid(), writing))
        # Celery says its farewell on standard output, where a job's results may be on their way.
        process = subprocess.Popen(
            [sys.executable, "-m", "workers.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env={**os.environ, **environment(child.slot), **self._counting()},
            start_new_session=True,  # Ctrl-C in a terminal is for us; we tell the workers what it means
            pass_fds=(writing,),
        )
        os.close(writing)
        child.process, child.started = process, now
        assert process.stdin is not None  # noqa: S101 (a pipe was asked for)
        try:
            process.stdin.write(orders)
            process.stdin.close()
        except BrokenPipeError:
            logger.warning("worker %s died while it started", child.name, extra={"event": "worker_died"})

    def _counting(self) -> dict[str, str]:
        """The variable that prometheus-client reads when it is imported."""
        return {} if self.files is None else {"PROMETHEUS_MULTIPROC_DIR": str(self.files.folder)}

    def _drain(self) -> None:
        running = [child.process for child in self._children if child.process]
        for process in running:
            if process.poll() is None:
                process.terminate()
        for process in running:
            while process.poll() is None and time.monotonic() < self._deadline:
                time.sleep(_LOOK_INTERVAL_S / 5)  # the deadline moves nearer when a second signal comes
            if process.poll() is None:
                words = "worker pid %d did not drain in time"
                logger.log(self._kill_level, words, process.pid, extra={"event": "worker_killed"})
                process.kill()
                process.wait()

    def _relay(self) -> None:
        # Imported here: they take longer to load than a worker process takes to start.
        from jobstore.dispatch import Doorbell
        from jobstore.store import JobStore
        from workers.relay import Relay

        store, doorbell = JobStore.open(self.config.database_url), Doorbell(self.config.broker_url)
        relay = Relay(
            store,
            doorbell,
            self.config.window,
            self.config.resend_after_s,
            max_deaths=self.config.max_deaths,
            draft_expires_s=self.config.draft_expires_s,
            result_cache_bytes=self.config.result_cache_bytes,
            records_kept_s=self.config.records_kept_s,
        )
        relay.run(self._stopping, self.config.relay_interval_s)
        doorbell.close()
        store.close()

    @property
    def drained_clean(self) -> bool:
        """Whether every process ended by itself with status 0."""
        return all(child.process.returncode == Exit.DRAINED for child in self._children if child.process)


def main(config: WorkerConfig, beside: Sequence[Callable[[threading.Event], None]] = ()) -> int:
    """Run a worker machine in the foreground, with its numbers and its health on `metrics_port`.

    SIGTERM and SIGINT drain, a second one or SIGQUIT leaves at once. Ends by itself when every process was asked,
    through the store, to drain.

    Raises:
        AddressTaken: the port is taken.
    """
    configure_logging(config.log_level, config.log_format)
    with tempfile.TemporaryDirectory(prefix="nightshift-numbers-") as folder:
        launcher = Launcher(config, ProcessFiles(Path(folder)) if config.metrics_port else None, beside)
        with exported(config, launcher):
            return _run(launcher)


def _run(launcher: Launcher) -> int:
    asked = threading.Event()

    def act(number: signal.Signals, is_first: bool) -> None:
        if not is_first or number == signal.SIGQUIT:
            launcher.leave()
        asked.set()

    obey((signal.SIGTERM, signal.SIGINT, signal.SIGQUIT), act)
    launcher.start()
    while not asked.wait(_LOOK_INTERVAL_S) and not launcher.is_retired:
        pass
    launcher.stop()
    return 0 if launcher.drained_clean else 1
