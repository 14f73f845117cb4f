"""Models of one worker process: opened once, kept, the least used one dropped."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inference_engine.auto import STRATEGIES
from inference_engine.batching import BatchPolicy, MicroBatcher
from inference_engine.errors import EngineError, ParameterInvalid
from inference_engine.images import Image
from inference_engine.loading import decide, open_decided
from inference_engine.machine import probe_machine
from inference_engine.model import VisionModel
from inference_engine.negotiation import Decision, Wishes
from inference_engine.providers import ProviderOptions
from inference_engine.sessions import SessionOptions
from workers.metrics import Meter, labels_of
from workers.placement import batch_policy, session_options

logger = logging.getLogger(__name__)

#: Gives pictures of a job; called only where something is measured with them.
Samples = Callable[[], Sequence[Image]]


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """An open model with its batcher.

    Attributes:
        serial: different for each opening in this process.
    """

    model: VisionModel
    batcher: MicroBatcher
    load_ms: float
    serial: int = field(default_factory=itertools.count().__next__)

    def close(self) -> None:
        """End the batcher, then free the session."""
        self.batcher.close()
        self.model.close()


@dataclass(frozen=True, slots=True)
class Opener:
    """How this process opens models.

    Attributes:
        cores: cores of this process.
        resolution_dir: folder where measurements are remembered; None: they are not.
        meter: counts the runs of models.
    """

    device: str
    cores: int
    max_wait_s: float
    model_dirs: tuple[Path, ...] = ()
    provider_options: ProviderOptions = ProviderOptions()  # noqa: RUF009 (frozen)
    resolution_dir: Path | None = None
    meter: Meter = field(default_factory=Meter)

    def __call__(self, reference: str, wishes: Mapping[str, Any], samples: Samples) -> LoadedModel:
        """Negotiate, open, and run one empty image, so that the first real one does not pay for warming up.

        Args:
            wishes: fields of `Wishes`, and `strategy`: `order` or `measured`.
            samples: gives pictures of the job, which `measured` measures with.

        Raises:
            EngineError: the model cannot be opened, or a wish is unknown.
        """
        started = time.perf_counter()
        strategy, wished = split_wishes(wishes, self.device)
        decision = decide(reference, wished, model_dirs=self.model_dirs, provider_options=self.provider_options)
        if strategy == "measured":
            decision = self._measured(decision, samples())
        chosen = decision.chosen
        if chosen is not None and chosen.measurement is not None:
            tuned = chosen.measurement.setting
            model = open_decided(decision, SessionOptions(threads=tuned.threads, concurrency=tuned.streams))
            policy = BatchPolicy(tuned.batch, self.max_wait_s, tuned.streams)
        else:
            model = open_decided(decision, session_options(self.device, self.cores))
            most = model.session.max_batch_size, wished.batch_size
            policy = batch_policy(self.device, model.session.concurrency, most, self.max_wait_s)
        try:
            warm_up(model)
        except BaseException:
            model.close()
            raise
        load_ms = (time.perf_counter() - started) * 1000
        logger.info("opened %r in %.0f ms", model, load_ms, extra={"event": "model_loaded", "model": reference})
        return LoadedModel(model, MicroBatcher(self.meter.metered(labels_of(model), model.forward), policy), load_ms)

    def _measured(self, decision: Decision, images: Sequence[Image]) -> Decision:
        from inference_engine.measuring import resolve
        from inference_engine.resolution_cache import ResolutionCache
        from inference_engine.tuning import Limits

        cache = ResolutionCache(self.resolution_dir) if self.resolution_dir else None
        return resolve(decision, probe_machine(), images, limits=Limits(self.cores, self.cores), cache=cache)


def split_wishes(wishes: Mapping[str, Any], device: str) -> tuple[str, Wishes]:
    """A job's wishes as the strategy and what negotiation takes.

    Raises:
        ParameterInvalid: a wish that is not known.
    """
    rest = {"device": device, **wishes}
    strategy = rest.pop("strategy", "order")
    known = {"backend", "quantization", "batch_size", "device"}
    if strategy not in STRATEGIES or not known >= rest.keys():
        raise ParameterInvalid(
            f"wishes {dict(wishes)!r}: expected some of {', '.join(sorted(known))}, and strategy as one of "
            f"{', '.join(STRATEGIES)}"
        )
    return strategy, Wishes(**rest)


def warm_up(model: VisionModel) -> None:
    """Run one grey image in one thread.

    Runtimes allocate and choose kernels on their first run, and OpenVINO can hang for ever when two threads make the
    first conversion at once.
    """
    import numpy as np

    tensors, _ = model.preprocess(np.full((64, 64, 3), 114, dtype=np.uint8))
    model.forward(tensors)


@dataclass(slots=True)
class ModelPool:
    """Loads each model once, whoever asks first; drops the least recently used beyond `capacity`.

    A model is dropped only while no shard uses it: `borrow` and `give_back` count.
    """

    open: Callable[[str, Mapping[str, Any], Samples], LoadedModel]
    capacity: int = 4
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _models: OrderedDict[str, Future[LoadedModel]] = field(default_factory=OrderedDict)
    _uses: dict[str, int] = field(default_factory=dict)

    def borrow(
        self, reference: str, wishes: Mapping[str, Any], samples: Samples = lambda: ()
    ) -> tuple[str, LoadedModel]:
        """The model and the key to give it back with.

        Args:
            samples: gives pictures to measure with, should this be the first borrower.

        Raises:
            EngineError: it cannot be opened; the next borrower tries again.
        """
        key = f"{reference} {sorted(wishes.items())}"
        with self._lock:
            first = key not in self._models
            future = self._models.setdefault(key, Future())
            self._models.move_to_end(key)
            self._uses[key] = self._uses.get(key, 0) + 1
        if first:
            self._load(key, future, lambda: self.open(reference, wishes, samples))
        try:
            return key, future.result()
        except BaseException:
            self.give_back(key)
            raise

    def give_back(self, key: str) -> None:
        """Say that a shard is done with the model."""
        with self._lock:
            self._uses[key] -= 1
            if not self._uses[key]:
                del self._uses[key]
        self._evict()

    def names(self) -> tuple[str, ...]:
        """Ids of the open models."""
        with self._lock:
            open_ones = [future for future in self._models.values() if future.done() and not future.exception()]
        return tuple(future.result().model.package.model_id for future in open_ones)

    def close(self) -> None:
        """Close every model."""
        with self._lock:
            models, self._models = list(self._models.values()), OrderedDict()
        for future in models:
            if future.done() and not future.exception():
                future.result().close()

    def _load(self, key: str, future: Future[LoadedModel], load: Callable[[], LoadedModel]) -> None:
        try:
            future.set_result(load())
        except Exception as error:  # noqa: BLE001 (every borrower gets it)
            with self._lock:
                self._models.pop(key, None)
            known = error if isinstance(error, EngineError) else EngineError(f"{type(error).__name__}: {error}")
            future.set_exception(known)

    def _evict(self) -> None:
        with self._lock:
            idle = [key for key in self._models if key not in self._uses]
            surplus = idle[: max(0, len(self._models) - self.capacity)]
            dropped = [self._models.pop(key) for key in surplus]
        for future in dropped:
            logger.info("closing %r", future.result().model, extra={"event": "model_unloaded"})
            future.result().close()
