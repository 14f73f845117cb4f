"""Why a backend runs here: written for each job and worker process, once unless very many jobs come in between."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from inference_engine.machine import Machine
from jobstore.schema import DecisionId, DecisionRow, JobId, Lease, WorkerId
from jobstore.store import JobStore
from workers.metrics import Meter, labels_of
from workers.opening import LoadedModel

#: Jobs whose rows a process remembers; one that comes back after so many others gets a second row.
REMEMBERED = 10_000


def decision_row(job_id: JobId, worker_id: WorkerId, loaded: LoadedModel, facts: WorkerFacts) -> DecisionRow:
    """What the store keeps of a negotiation."""
    model, chosen = loaded.model, loaded.model.decision.chosen
    if chosen is None:
        raise ValueError(f"an open model without a chosen candidate: {model.decision}")
    return DecisionRow(
        job_id=job_id,
        worker_id=worker_id,
        model_id=model.package.model_id,
        package_id=model.package.package_id,
        package_digest=model.package.digest,
        backend=chosen.backend,
        device=chosen.device,
        quantization=chosen.quantization,
        max_batch_size=loaded.batcher.max_batch_size,
        strategy=model.decision.strategy,
        task=model.package.task,
        class_names=model.class_names,
        candidates=tuple(asdict(candidate) for candidate in model.decision.candidates),
        versions=facts.versions,
        machine=facts.machine.to_record(),
        load_ms=round(loaded.load_ms, 1),
    )


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """What is the same for every decision of this process."""

    machine: Machine
    versions: Mapping[str, str]


@dataclass(slots=True)
class DecisionBook:
    """The decision of each job that this process has worked on."""

    store: JobStore
    worker_id: WorkerId
    facts: WorkerFacts
    meter: Meter = field(default_factory=Meter)
    _opened: set[int] = field(default_factory=set)
    _known: OrderedDict[tuple[JobId, int], DecisionId] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def decisions_for(self, leases: Sequence[Lease], loaded: LoadedModel) -> list[DecisionId | None]:
        """The row of each lease's job and the model, written when first asked for."""
        with self._lock:
            if loaded.serial not in self._opened:
                self._opened.add(loaded.serial)
                self.meter.decided(loaded.model.decision)
                self.meter.model_opened(labels_of(loaded.model), loaded.load_ms / 1000)
            asked = dict.fromkeys(lease.job_id for lease in leases)
            fresh = [job_id for job_id in asked if (job_id, loaded.serial) not in self._known]
            rows = self._rows(fresh, loaded)
            for job_id, decision_id in zip(fresh, self.store.add_decisions(rows) if rows else (), strict=True):
                self._known[job_id, loaded.serial] = decision_id
            wanted = [(lease.job_id, loaded.serial) for lease in leases]
            answers: list[DecisionId | None] = [self._known[key] for key in wanted]
            for key in wanted:
                self._known.move_to_end(key)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
            return answers

    def _rows(self, job_ids: Sequence[JobId], loaded: LoadedModel) -> list[DecisionRow]:
        """The same decision for each job; it is described once, which takes as long as a small job's write."""
        if not job_ids:
            return []
        first = decision_row(job_ids[0], self.worker_id, loaded, self.facts)
        return [replace(first, job_id=job_id) for job_id in job_ids]
