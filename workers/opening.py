"""Opening a model: negotiate, fetch, load, warm up, and measure what it costs in memory."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from inference_engine.batching import BatchPolicy, MicroBatcher
from inference_engine.called import open_vision_model
from inference_engine.errors import EngineError, NoRunnableBackend, ProviderUnavailable, SessionFailed
from inference_engine.finding import local_package
from inference_engine.images import Image
from inference_engine.loading import decide
from inference_engine.machine import probe_machine
from inference_engine.memory import resident_bytes
from inference_engine.model import VisionModel
from inference_engine.negotiation import Decision
from inference_engine.packages import ModelPackage
from inference_engine.providers import ProviderOptions
from inference_engine.trust import TrustPolicy
from jobstore.schema import ModelBuild
from workers.figures import Figures, Tally
from workers.metrics import Meter, labels_of
from workers.placement import batch_policy, session_options
from workers.trusting import operator_hints
from workers.wishing import Asked, read_wishes

logger = logging.getLogger(__name__)

#: Gives pictures of a job; called only where something is measured with them.
Samples = Callable[[], Sequence[Image]]


@dataclass(slots=True, eq=False)
class LoadedModel:
    """An open model with its batcher.

    Attributes:
        cost_bytes: memory of its device that it took when it was loaded.
        serial: different for each opening in this process.
        is_broken: its session fails whatever it is given.
    """

    model: VisionModel
    batcher: MicroBatcher
    load_ms: float
    cost_bytes: int = 0
    tally: Tally = field(default_factory=Tally)
    serial: int = field(default_factory=itertools.count().__next__)
    is_broken: bool = False
    _checking: threading.Lock = field(default_factory=threading.Lock)

    @property
    def clip_frames(self) -> int:
        """Frames of a video that the model judges together; 0: it judges each one for itself."""
        return getattr(self.model, "clip_frames", 0)

    def check_session(self) -> bool:
        """Run the grey image that it warmed up with; whether even that fails. A session that broke stays broken."""
        with self._checking:
            if not self.is_broken:
                try:
                    self.batcher.submit(grey_tensors(self.model), alone=True).result()
                except SessionFailed as error:
                    logger.warning("%r is broken: %s", self.model, error, extra={"event": "session_broken"})
                    self.is_broken = True
            return self.is_broken

    def figures(self) -> Figures:
        """How full its batches are and where its time goes."""
        ran = self.batcher
        places = max(ran.images, ran.batches * ran.max_batch_size)
        return Figures(self.tally.items, ran.batches, ran.images, places, ran.seconds, self.tally.stage_ms())

    def close(self) -> None:
        """End the batcher, then free the session."""
        self.batcher.close()
        self.model.close()


@dataclass(frozen=True, slots=True)
class Plan:
    """What is going to be opened.

    Attributes:
        weights_bytes: of the chosen package on this disk; the least that it can cost. 0: not known.
    """

    reference: str
    asked: Asked
    decision: Decision
    samples: Samples
    weights_bytes: int


@dataclass(frozen=True, slots=True)
class Opener:
    """How this process opens models.

    Attributes:
        cores: cores of this process.
        resolution_dir: folder where measurements are remembered; None: they are not.
        trust: what this machine's operator trusts; no job can widen it.
        used_bytes: memory in use where models are loaded; its growth is what a model costs.
        learned_batch: the batch size of a build that fitted when a larger one did not.
        meter: counts the runs of models.
    """

    device: str
    cores: int
    max_wait_s: float
    model_dirs: tuple[Path, ...] = ()
    provider_options: ProviderOptions = ProviderOptions()  # noqa: RUF009 (frozen)
    resolution_dir: Path | None = None
    trust: TrustPolicy = TrustPolicy()  # noqa: RUF009 (frozen)
    used_bytes: Callable[[], int] = resident_bytes
    learned_batch: Callable[[ModelBuild], int | None] = lambda _: None
    meter: Meter = field(default_factory=Meter)

    def plan(self, reference: str, wishes: Mapping[str, Any], samples: Samples) -> Plan:
        """Negotiate, and fetch what was chosen; nothing is loaded.

        Args:
            wishes: of the job; see `jobstore.wishes`.
            samples: gives pictures of the job, which `measured` measures with.

        Raises:
            NoRunnableBackend: nothing here runs it.
            ProviderUnavailable: it cannot be fetched now.
            EngineError: there is no such model, or a wish is unknown.
        """
        asked = read_wishes(wishes, self.device, self.trust)
        decision = decide(
            reference,
            asked.wishes,
            model_dirs=self.model_dirs,
            order=asked.order,
            provider_options=self.provider_options,
        )
        if decision.chosen is None:
            raise NoRunnableBackend(f"nothing here runs {decision.model_id}\n{decision}{operator_hints(decision)}")
        return Plan(reference, asked, decision, samples, weights_bytes(decision))

    def open(self, plan: Plan) -> LoadedModel:
        """Load, and run one grey image, so that the first real one does not pay for warming up.

        Raises:
            EngineError: the model cannot be opened.
        """
        started, used = time.perf_counter(), self.used_bytes()
        decision = self._measured(plan) if plan.asked.strategy == "measured" else plan.decision
        model, policy = self._open(decision, plan.asked)
        try:
            model.forward(grey_tensors(model))
        except BaseException:
            model.close()
            raise
        loaded = LoadedModel(
            model,
            MicroBatcher(self.meter.metered(labels_of(model), model.forward), self._as_learned(model, policy)),
            load_ms=(time.perf_counter() - started) * 1000,
            cost_bytes=max(self.used_bytes() - used, plan.weights_bytes),
        )
        logger.info(
            "opened %r in %.0f ms, %.0f MB",
            model,
            loaded.load_ms,
            loaded.cost_bytes / 1e6,
            extra={"event": "model_loaded", "model": plan.reference, "bytes": loaded.cost_bytes},
        )
        return loaded

    def _open(self, decision: Decision, asked: Asked) -> tuple[VisionModel, BatchPolicy]:
        chosen = decision.chosen
        if chosen is not None and chosen.measurement is not None:
            tuned = chosen.measurement.setting
            return open_vision_model(decision, asked.session), BatchPolicy(tuned.batch, self.max_wait_s, tuned.streams)
        shared = session_options(self.device, self.cores)
        options = replace(asked.session, threads=shared.threads, concurrency=shared.concurrency)
        model = open_vision_model(decision, options)
        most = model.session.max_batch_size, asked.wishes.largest_batch
        return model, batch_policy(self.device, model.session.concurrency, most, self.max_wait_s)

    def _as_learned(self, model: VisionModel, policy: BatchPolicy) -> BatchPolicy:
        build = build_of(model)
        learned = self.learned_batch(build) if build else None
        return replace(policy, max_batch_size=min(policy.max_batch_size, learned or policy.max_batch_size))

    def _measured(self, plan: Plan) -> Decision:
        from inference_engine.measuring import resolve
        from inference_engine.resolution_cache import ResolutionCache
        from inference_engine.tuning import Limits

        cache = ResolutionCache(self.resolution_dir) if self.resolution_dir else None
        return resolve(
            plan.decision,
            probe_machine(),
            plan.samples(),
            budget_s=plan.asked.budget_s,
            limits=Limits(self.cores, self.cores),
            cache=cache,
            options=plan.asked.session,
        )


def build_of(model: VisionModel) -> ModelBuild | None:
    """What batch sizes are learned for; None: the model was not negotiated."""
    chosen = model.decision.chosen
    return ModelBuild(model.package.digest, chosen.backend, chosen.quantization) if chosen else None


def weights_bytes(decision: Decision) -> int:
    """Bytes of the chosen package's weights, which are fetched for it; 0 where that is left to the opening.

    Raises:
        ProviderUnavailable: it cannot be fetched now.
    """
    if decision.chosen is None:
        return 0
    try:
        package: ModelPackage = local_package(decision.packages[decision.chosen.package_id])
        return package.weights.stat().st_size
    except ProviderUnavailable:
        raise  # no other candidate would be fetched for it
    except (EngineError, OSError):
        return 0  # the opening heals it, takes the next candidate, or says why it cannot


def grey_tensors(model: VisionModel) -> dict[str, Any]:
    """What a small grey image becomes before the model.

    One run of it in one thread comes before all others: runtimes allocate and choose kernels on their first run, and
    OpenVINO can hang for ever when two threads make the first conversion at once.
    """
    import numpy as np

    tensors, _ = model.preprocess(np.full((64, 64, 3), 114, dtype=np.uint8))
    return dict(tensors)
