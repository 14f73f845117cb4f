"""The models that are open in this process: loaded once, kept by use within a budget of memory."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from inference_engine.errors import EngineError
from inference_engine.images import Image
from inference_engine.memory import trim
from jobstore.errors import JobStoreError
from workers.figures import Figures
from workers.opening import LoadedModel, Plan, Samples

logger = logging.getLogger(__name__)

#: Seconds that a load waits for models in use to be given back; then it takes more memory than the budget.
_ROOM_PATIENCE_S = 60.0


class Borrower(Protocol):
    """Who needs a model, and hears how far it is."""

    def samples(self) -> Sequence[Image]:
        """Pictures to measure with; asked only where something is measured."""
        ...

    def waits(self) -> None:
        """It is not open yet; not called for one that is."""
        ...

    def loads(self) -> None:
        """It is loaded for this borrower from now on."""
        ...

    def opened(self) -> None:
        """It is open, after this borrower had to wait."""
        ...


class Unheard:
    """A borrower who has no pictures and wants to hear nothing."""

    def samples(self) -> Sequence[Image]:
        """None."""
        return ()

    def waits(self) -> None:
        """Nothing happens, here and in the others."""

    loads = opened = waits


class ModelOpener(Protocol):
    """How models are opened."""

    def plan(self, reference: str, wishes: Mapping[str, Any], samples: Samples) -> Plan:
        """What would be opened; raises EngineError. Several threads may plan at once."""
        ...

    def open(self, plan: Plan) -> LoadedModel:
        """Open it; raises EngineError. One at a time, so that it can measure what a model costs."""
        ...


@dataclass(slots=True, eq=False)
class Loan:
    """A model in use.

    Attributes:
        reference: what the job names the model by.
        users: shards that work with it.
        used: when it was last lent, by `time.monotonic`.
        loader: for whom it is being loaded at this moment, and since when.
    """

    key: str
    reference: str
    future: Future[LoadedModel] = field(default_factory=Future)
    users: int = 0
    used: float = 0.0
    loader: tuple[Borrower, float] | None = None

    @property
    def loaded(self) -> LoadedModel:
        """The open model; raises what its opening raised."""
        return self.future.result()

    @property
    def is_open(self) -> bool:
        """Whether it was opened, and did not fail to."""
        return self.future.done() and not self.future.exception()


@dataclass(slots=True)
class ModelPool:
    """Loads each model once, whoever asks first; unloads the least recently used where the next would not fit.

    A model is unloaded only while no shard uses it. What a model costs is measured when it is loaded; before its first
    load the size of its weights stands for it.

    Attributes:
        budget_bytes: memory that open models may take together; None: no bound.
    """

    opener: ModelOpener
    budget_bytes: int | None = None
    _loans: dict[str, Loan] = field(default_factory=dict)
    _costs: dict[str, int] = field(default_factory=dict)
    _breaks: dict[str, int] = field(default_factory=dict)
    _is_making_room: bool = False
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _loading: threading.Lock = field(default_factory=threading.Lock)

    def borrow(self, reference: str, wishes: Mapping[str, Any], borrower: Borrower = Unheard()) -> Loan:  # noqa: B008
        """The model, to be given back.

        Raises:
            EngineError: it cannot be opened; the next borrower tries again.
            JobStoreError: the store did not answer meanwhile.
        """
        key = f"{reference} {sorted(wishes.items())}"
        with self._changed:
            # Whoever waits for room would wait for ever if what is in use were lent again and again.
            self._changed.wait_for(lambda: not self._is_making_room, _ROOM_PATIENCE_S)
            is_first = key not in self._loans
            loan = self._loans.setdefault(key, Loan(key, reference))
            loan.users += 1
            loan.used = time.monotonic()
            has_to_wait = not loan.is_open
        if is_first:
            self._load(loan, wishes, borrower)
        try:
            if has_to_wait and not is_first:
                borrower.waits()
            loan.future.result()
            if has_to_wait:
                borrower.opened()
        except BaseException:
            self.give_back(loan)
            raise
        return loan

    def give_back(self, loan: Loan) -> None:
        """Say that a shard is done with the model."""
        with self._changed:
            loan.users -= 1
            is_over = not loan.users and self._loans.get(loan.key) is not loan
            self._changed.notify_all()
        if is_over and loan.is_open:
            _close([loan])

    def discard(self, loan: Loan) -> int:
        """Lend a broken model no more: the next borrower opens it anew. Gives how often this model has broken here."""
        with self._changed:
            if self._loans.get(loan.key) is loan:
                del self._loans[loan.key]
                self._breaks[loan.key] = self._breaks.get(loan.key, 0) + 1
            return self._breaks.get(loan.key, 0)

    def references(self) -> tuple[str, ...]:
        """What jobs name the open models by."""
        return tuple({loan.reference: None for loan in self._open()})

    def names(self) -> tuple[str, ...]:
        """Ids of the open models."""
        return tuple(loan.loaded.model.package.model_id for loan in self._open())

    def loaded(self) -> tuple[LoadedModel, ...]:
        """The open models."""
        return tuple(loan.loaded for loan in self._open())

    def loading(self) -> list[tuple[Borrower, float]]:
        """For whom a model is being loaded, and since when by `time.monotonic`."""
        with self._changed:
            return [loan.loader for loan in self._loans.values() if loan.loader is not None]

    def figures(self) -> dict[str, Figures]:
        """By model id, how full batches are and where time goes; what metrics and the worker's row are made of."""
        found: dict[str, Figures] = {}
        for loaded in self.loaded():
            name = loaded.model.package.model_id
            found[name] = found.get(name, Figures()) + loaded.figures()
        return found

    def close(self) -> None:
        """Close every model."""
        with self._changed:
            loans, self._loans = list(self._loans.values()), {}
        _close([loan for loan in loans if loan.is_open])

    def _open(self) -> list[Loan]:
        with self._changed:
            return [loan for loan in self._loans.values() if loan.is_open]

    def _load(self, loan: Loan, wishes: Mapping[str, Any], borrower: Borrower) -> None:
        try:
            borrower.waits()
            plan = self.opener.plan(loan.reference, wishes, borrower.samples)
            with self._loading:
                self._make_room(max(plan.weights_bytes, self._costs.get(loan.key, 0)))
                borrower.loads()
                loan.loader = borrower, time.monotonic()
                try:
                    loaded = self.opener.open(plan)
                finally:
                    loan.loader = None
        except Exception as error:  # noqa: BLE001 (every borrower gets it)
            with self._changed:
                self._loans.pop(loan.key, None)
            known = (
                error
                if isinstance(error, EngineError | JobStoreError)
                else EngineError(f"{type(error).__name__}: {error}")
            )
            loan.future.set_exception(known)
            return
        self._costs[loan.key] = loaded.cost_bytes
        loan.future.set_result(loaded)
        _close(self._evicted(0))  # it may have cost more than its weights

    def _make_room(self, needed: int) -> None:
        """Unload what is not in use until `needed` bytes fit; wait a while for what is in use."""
        deadline = time.monotonic() + _ROOM_PATIENCE_S
        try:
            while True:
                _close(self._evicted(needed))
                with self._changed:
                    self._is_making_room = self._surplus(needed) > 0 and any(
                        loan.is_open for loan in self._loans.values()
                    )
                    if not self._is_making_room:
                        return
                    if not self._changed.wait(deadline - time.monotonic()):
                        logger.warning("models in use leave no room", extra={"event": "memory_budget_exceeded"})
                        return
        finally:
            with self._changed:
                self._is_making_room = False
                self._changed.notify_all()

    def _surplus(self, needed: int) -> int:
        if self.budget_bytes is None:
            return 0
        return sum(loan.loaded.cost_bytes for loan in self._loans.values() if loan.is_open) + needed - self.budget_bytes

    def _evicted(self, needed: int) -> list[Loan]:
        """Take out what goes, the least recently used first."""
        gone: list[Loan] = []
        with self._changed:
            idle = [loan for loan in self._loans.values() if loan.is_open and not loan.users]
            for loan in sorted(idle, key=lambda loan: loan.used):
                if self._surplus(needed) <= 0:
                    break
                gone.append(self._loans.pop(loan.key))
        return gone


def _close(loans: list[Loan]) -> None:
    for loan in loans:
        logger.info("closing %r", loan.loaded.model, extra={"event": "model_unloaded", "model": loan.reference})
        loan.loaded.close()
    if loans:
        trim()
