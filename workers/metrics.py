"""Every metric by name, and the meter with which a worker process counts.

The tables are the definition: the exporter, docs/metrics.md, the dashboard's and the alerts' tests are made from them.
Numbers of single jobs are in SQL and in no label: a label's every value costs each scrape for ever.
"""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal, Protocol, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from fetching.policy import scheme_of
from inference_engine.model import VisionModel
from inference_engine.negotiation import Decision
from jobstore.schema import Outcome

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric as Prometheus sees it.

    Attributes:
        name: with its unit, counters with `_total` (prometheus.io/docs/practices/naming).
        buckets: upper bounds, of histograms.
        mode: how a gauge of several processes becomes one (`multiprocess_mode` of prometheus-client).
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    mode: str = ""


_MODEL = ("model", "task", "backend", "hardware")
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

ITEMS = Metric("nightshift_items_total", "counter", "Items with an outcome.", (*_MODEL, "outcome"))
BATCHES = Metric("nightshift_batches_total", "counter", "Runs of a model.", _MODEL)
BATCH_ITEMS = Metric(
    "nightshift_batch_items", "histogram", "Images in a run of a model.", ("model",), (1, 2, 4, 8, 16, 32, 64, 128)
)
FORWARD_SECONDS = Metric(
    "nightshift_forward_duration_seconds", "histogram", "Seconds of a run of a model.", ("model",), _SECONDS
)
STAGE_SECONDS = Metric(
    "nightshift_stage_duration_seconds",
    "histogram",
    "Seconds of one item's stage: fetch, decode, preprocess, forward with its wait for a batch, postprocess.",
    ("stage",),
    _SECONDS,
)
MODEL_LOADS = Metric("nightshift_model_loads_total", "counter", "Models opened, or not.", ("model", "outcome"))
MODEL_LOAD_SECONDS = Metric(
    "nightshift_model_load_duration_seconds",
    "histogram",
    "Seconds from a model's name to its first run.",
    ("backend",),
    (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
)
MODELS_LOADED = Metric("nightshift_models_loaded", "gauge", "Models that are open.", ("hardware",), mode="livesum")
DECISIONS = Metric(
    "nightshift_backend_decisions_total",
    "counter",
    "Candidates of a negotiation; the reason is that against one that was not chosen.",
    ("backend", "verdict", "reason"),
)
FETCH_BYTES = Metric("nightshift_fetch_bytes_total", "counter", "Bytes of items that were read.", ("scheme",))
LOOKUPS = Metric(
    "nightshift_result_cache_requests_total",
    "counter",
    "Items that were looked up among results: hit, miss, or shared with one that was in work.",
    ("outcome",),
)
RETRIES = Metric(
    "nightshift_retries_total",
    "counter",
    "Work that was begun again: an item, or a shard whose lease was lost or that was given back.",
    ("reason",),
)
QUARANTINED = Metric(
    "nightshift_messages_quarantined_total", "counter", "Queue entries that no worker could read.", ("reason",)
)
HEARTBEAT = Metric(
    "nightshift_worker_heartbeat_timestamp_seconds",
    "gauge",
    "When a worker process last gave a sign of life, by its own clock.",
    (),
    mode="liveall",
)
#: Counted by worker processes, added up by their launcher.
PROCESS_METRICS = (
    ITEMS, BATCHES, BATCH_ITEMS, FORWARD_SECONDS, STAGE_SECONDS, MODEL_LOADS, MODEL_LOAD_SECONDS, MODELS_LOADED,
    DECISIONS, FETCH_BYTES, LOOKUPS, RETRIES, QUARANTINED, HEARTBEAT,
)  # fmt: skip

BUILD_INFO = Metric("nightshift_build_info", "gauge", "1, with the version that runs.", ("version",))
PROCESSES = Metric("nightshift_worker_processes", "gauge", "Worker processes of this machine that run.")
RESTARTS = Metric("nightshift_worker_restarts_total", "counter", "Worker processes that ended and were started again.")
CACHE_BYTES = Metric("nightshift_cache_bytes", "gauge", "Bytes of fetched packages on this machine.")
DISK_FREE = Metric("nightshift_disk_free_bytes", "gauge", "Free bytes where packages are kept.")
DEVICE_MEMORY = Metric("nightshift_device_memory_used_bytes", "gauge", "Memory of a GPU that is in use.", ("device",))
DEVICE_BUSY = Metric(
    "nightshift_device_utilization_ratio", "gauge", "Share of time in which a GPU was busy, 0 to 1.", ("device",)
)
#: Looked up by the launcher when it is scraped.
MACHINE_METRICS = (BUILD_INFO, PROCESSES, RESTARTS, CACHE_BYTES, DISK_FREE, DEVICE_MEMORY, DEVICE_BUSY)

_QUEUE = ("queue", "hardware")
STORE_UP = Metric("nightshift_store_up", "gauge", "1 where the database answered, 0 where it did not.")
QUEUE_MESSAGES = Metric("nightshift_queue_messages", "gauge", "Shards whose hints wait for a worker.", _QUEUE)
BACKLOG_ITEMS = Metric(
    "nightshift_queue_backlog_items", "gauge", "Items without an outcome, of jobs that may run.", _QUEUE
)
BACKLOG_SECONDS = Metric(
    "nightshift_queue_backlog_seconds", "gauge", "What the backlog would take one worker process.", _QUEUE
)
OLDEST_AGE = Metric(
    "nightshift_queue_oldest_age_seconds", "gauge", "Age of the oldest shard that waits; 0 where none does.", _QUEUE
)
JOBS = Metric("nightshift_jobs", "gauge", "Jobs by state.", ("state",))
WORKERS = Metric(
    "nightshift_workers",
    "gauge",
    "Worker processes of the fleet, under each class that they serve.",
    ("hardware", "state"),
)
WEBHOOKS = Metric(
    "nightshift_webhook_deliveries_total",
    "counter",
    "Messages to webhooks that were delivered or given up.",
    ("state",),
)
#: Of the whole fleet, from SQL; every machine exports the same, so ask for `max by (...)`, never for a sum.
STORE_METRICS = (STORE_UP, QUEUE_MESSAGES, BACKLOG_ITEMS, BACKLOG_SECONDS, OLDEST_AGE, JOBS, WORKERS, WEBHOOKS)

METRICS = (*PROCESS_METRICS, *MACHINE_METRICS, *STORE_METRICS)


@dataclass(frozen=True, slots=True)
class ModelLabels:
    """What a number of a model is told apart by."""

    model: str
    task: str
    backend: str


class _Reader(Protocol):
    def read(self, uri: str) -> bytes: ...
    def open(self, uri: str, beat: Callable[[], None]) -> BinaryIO: ...


def labels_of(model: VisionModel) -> ModelLabels:
    """Give the labels of an open model."""
    chosen = model.decision.chosen
    return ModelLabels(model.package.model_id, model.package.task, "" if chosen is None else chosen.backend)


def make(metric: Metric, registry: CollectorRegistry) -> Any:
    """Give prometheus-client's object for a definition."""
    if metric.kind == "counter":
        return Counter(metric.name, metric.help, metric.labels, registry=registry)
    if metric.kind == "histogram":
        return Histogram(metric.name, metric.help, metric.labels, registry=registry, buckets=metric.buckets)
    mode: Any = metric.mode or "all"
    return Gauge(metric.name, metric.help, metric.labels, registry=registry, multiprocess_mode=mode)


@dataclass(slots=True)
class Meter:
    """Counts what one worker process does.

    Where `PROMETHEUS_MULTIPROC_DIR` was set before the process began, the numbers stand in files of that folder, from
    which the launcher reads them; else they are this process's alone.
    """

    hardware: str = "cpu"
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    _made: Mapping[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self._made = {metric.name: make(metric, self.registry) for metric in PROCESS_METRICS}

    def recorded(self, labels: ModelLabels, outcomes: Sequence[Outcome]) -> None:
        """Outcomes were committed."""
        for state, number in Tally(outcome.state for outcome in outcomes).items():
            self._model(ITEMS, labels, outcome=state.value).inc(number)
        stages = self._made[STAGE_SECONDS.name]
        for outcome in outcomes:
            for stage, milliseconds in (outcome.timings_ms or {}).items():
                stages.labels(stage=stage).observe(milliseconds / 1000)
        if again := sum(outcome.tries - 1 for outcome in outcomes):
            self.retried("item", again)

    def metered(self, labels: ModelLabels, forward: Callable[[Any], Result]) -> Callable[[Any], Result]:
        """Give a model's `forward` that counts its runs; `tensors` has one array `(n, ...)` an input."""
        runs = self._model(BATCHES, labels)
        sizes = self._made[BATCH_ITEMS.name].labels(model=labels.model)
        seconds = self._made[FORWARD_SECONDS.name].labels(model=labels.model)

        def counted(tensors: Any) -> Result:
            started = time.perf_counter()
            result = forward(tensors)
            seconds.observe(time.perf_counter() - started)
            sizes.observe(len(next(iter(tensors.values()))))
            runs.inc()
            return result

        return counted

    def model_opened(self, labels: ModelLabels, seconds: float) -> None:
        """A model is open, `seconds` after it was asked for."""
        self._made[MODEL_LOADS.name].labels(model=labels.model, outcome="ok").inc()
        self._made[MODEL_LOAD_SECONDS.name].labels(backend=labels.backend).observe(seconds)

    def model_refused(self, model: str) -> None:
        """A model could not be opened."""
        self._made[MODEL_LOADS.name].labels(model=model, outcome="failed").inc()

    def decided(self, decision: Decision) -> None:
        """A negotiation ended: each candidate counts once, with the first reason against it."""
        for candidate in decision.candidates:
            is_chosen = candidate is decision.chosen
            reason = "" if is_chosen or not candidate.reasons else candidate.reasons[0].code
            verdict = "chosen" if is_chosen else "rejected" if candidate.reasons else "runnable"
            self._made[DECISIONS.name].labels(backend=candidate.backend, verdict=verdict, reason=reason).inc()

    def fetched(self, scheme: str, size_bytes: int) -> None:
        """An item's bytes were read."""
        self._made[FETCH_BYTES.name].labels(scheme=scheme).inc(size_bytes)

    def looked_up(self, outcome: str, items: int) -> None:
        """So many items were looked up among results: `hit`, `miss`, `shared`."""
        self._made[LOOKUPS.name].labels(outcome=outcome).inc(items)

    def retried(self, reason: str, times: int = 1) -> None:
        """Work begins again: `item`, `lease_lost`, `released`."""
        self._made[RETRIES.name].labels(reason=reason).inc(times)

    def quarantined(self, reason: str) -> None:
        """A message was set aside."""
        self._made[QUARANTINED.name].labels(reason=reason).inc()

    def beat(self, models: int) -> None:
        """The process gives a sign of life, with so many models open."""
        self._made[MODELS_LOADED.name].labels(hardware=self.hardware).set(models)
        self._made[HEARTBEAT.name].set_to_current_time()

    def _model(self, metric: Metric, labels: ModelLabels, **more: str) -> Any:
        return self._made[metric.name].labels(
            model=labels.model, task=labels.task, backend=labels.backend, hardware=self.hardware, **more
        )


@dataclass(frozen=True, slots=True)
class MeteredReader:
    """A `MediaReader` that counts bytes, but those of videos, which are read piece by piece."""

    reader: _Reader
    meter: Meter

    def read(self, uri: str) -> bytes:
        """All bytes of one item, as the reader gives them."""
        data = self.reader.read(uri)
        self.meter.fetched(scheme_of(uri), len(data))
        return data

    def open(self, uri: str, beat: Callable[[], None] = lambda: None) -> BinaryIO:
        """A video, as the reader opens it."""
        return self.reader.open(uri, beat)
