"""The numbers of one worker machine: its processes' files, its devices and disks, and what SQL says of the fleet."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from inference_engine.gpu_load import gpu_loads
from jobstore.errors import JobStoreError
from jobstore.outbox import ENDED_DELIVERIES
from jobstore.schema import JobState
from jobstore.store import JobStore
from workers import metrics
from workers.metrics import Metric

#: Seconds that an answer of the database, and the size of the cache's folder, are used again.
FLEET_S, FOLDER_S = 10.0, 60.0
#: Stands for all processes that ended, in the names of prometheus-client's files.
_GONE = "gone"
Value = TypeVar("Value")
_Family = CounterMetricFamily | GaugeMetricFamily


class ProcessFiles:
    """The files in which worker processes count (prometheus-client's multiprocess mode).

    A process that ended leaves its counters behind, or the sums would fall; they are folded into one file, so that a
    machine whose processes die often keeps as many files as it has processes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()

    def collect(self) -> list[Any]:
        """Give the sums of all processes."""
        with self._lock:
            return list(MultiProcessCollector(CollectorRegistry(), str(self.folder)).collect())

    def forget(self, pid: int) -> None:
        """A process ended: its gauges go, its counters stay."""
        with self._lock:
            mark_process_dead(pid, str(self.folder))
            for kind in ("counter", "histogram"):
                self._fold(self.folder / f"{kind}_{pid}.db", self.folder / f"{kind}_{_GONE}.db")

    def beats(self) -> dict[int, float]:
        """Give each process's last sign of life, seconds since the epoch."""
        return {
            int(sample.labels["pid"]): sample.value
            for family in self.collect()
            if family.name == metrics.HEARTBEAT.name
            for sample in family.samples
        }

    @staticmethod
    def _fold(source: Path, target: Path) -> None:
        if not source.exists():
            return
        sums = MmapedDict(str(target))
        for key, value, timestamp, _ in MmapedDict.read_all_values_from_file(str(source)):
            sums.write_value(key, sums.read_value(key)[0] + value, timestamp)
        sums.close()
        source.unlink()


@dataclass(slots=True)
class Cached(Generic[Value]):
    """Asks at most once in `lifetime_s`."""

    ask: Callable[[], Value]
    lifetime_s: float
    _value: Value | None = None
    _until: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self) -> Value:
        """Give the answer, fresh or not too old."""
        with self._lock:
            if self._value is None or time.monotonic() > self._until:
                self._value = self.ask()
                self._until = time.monotonic() + self.lifetime_s
            return self._value


class FleetNumbers(Collector):
    """What SQL says of the whole fleet; any machine and any server gives it."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._fleet = Cached(self._ask, FLEET_S)

    def collect(self) -> Iterator[Any]:
        """Give every metric family."""
        yield from self._fleet()

    def _ask(self) -> list[_Family]:
        try:
            queues, jobs, workers = self._store.fleet.queues(), self._store.job_counts(), self._store.fleet.workers()
            told = self._store.outbox.counts()
        except JobStoreError:
            return [_family(metrics.STORE_UP, {(): 0.0})]
        states = Counter((name, worker.state) for worker in workers for name in worker.serves)
        return [
            _family(metrics.STORE_UP, {(): 1.0}),
            _family(metrics.QUEUE_MESSAGES, {(row.queue, row.hardware): row.queued for row in queues}),
            _family(metrics.BACKLOG_ITEMS, {(row.queue, row.hardware): row.backlog_items for row in queues}),
            _family(metrics.BACKLOG_SECONDS, {(row.queue, row.hardware): row.backlog_seconds for row in queues}),
            _family(metrics.OLDEST_AGE, {(row.queue, row.hardware): row.oldest_age_s or 0.0 for row in queues}),
            _family(metrics.JOBS, {(state.value,): jobs.get(state, 0) for state in JobState}),
            _family(metrics.WORKERS, {key: float(number) for key, number in states.items()}),
            _family(metrics.WEBHOOKS, {(state.value,): told.get(state, 0) for state in ENDED_DELIVERIES}),
        ]


class MachineNumbers(Collector):
    """Everything that a scrape of this machine gives."""

    def __init__(self, files: ProcessFiles, store: JobStore, cache_dir: Path | None, launcher: Launched) -> None:
        self.files, self.store, self._cache_dir, self._launcher = files, store, cache_dir, launcher
        self._fleet = FleetNumbers(store)
        self._cache_bytes = Cached(self._folder_bytes, FOLDER_S)

    def collect(self) -> Iterator[Any]:
        """Give every metric family."""
        known = {metric.name.removesuffix("_total"): metric.help for metric in metrics.PROCESS_METRICS}
        for family in self.files.collect():
            family.documentation = known.get(family.name, family.documentation)
            yield family
        yield from self._machine()
        yield from self._fleet.collect()

    def _machine(self) -> Iterator[_Family]:
        yield _family(metrics.BUILD_INFO, {(version("nightshift"),): 1.0})
        yield _family(metrics.PROCESSES, {(): float(self._launcher.alive)})
        yield _family(metrics.RESTARTS, {(): float(self._launcher.restarts)})
        if self._cache_dir is not None:
            yield _family(metrics.CACHE_BYTES, {(): float(self._cache_bytes())})
            place = next(folder for folder in (self._cache_dir, *self._cache_dir.parents) if folder.exists())
            yield _family(metrics.DISK_FREE, {(): float(shutil.disk_usage(place).free)})
        loads = gpu_loads()
        yield _family(metrics.DEVICE_MEMORY, {(str(load.index),): float(load.memory_used_bytes) for load in loads})
        yield _family(metrics.DEVICE_BUSY, {(str(load.index),): load.utilization for load in loads})

    def _folder_bytes(self) -> int:
        assert self._cache_dir is not None  # noqa: S101 (asked for only where there is one)
        return sum(entry.stat().st_size for entry in self._cache_dir.rglob("*") if entry.is_file())


class Launched(Protocol):
    """What only the launcher knows: processes that run, and how many were started again since it began."""

    restarts: int

    @property
    def alive(self) -> int:
        """Processes that run."""
        ...


def _family(metric: Metric, values: Mapping[tuple[str, ...], float]) -> _Family:
    made: _Family = (
        CounterMetricFamily(re.sub("_total$", "", metric.name), metric.help, labels=metric.labels)
        if metric.kind == "counter"
        else GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    )
    for labels, value in values.items():
        made.add_metric(labels, value)
    return made
