"""Strategy `measured`: open every candidate, compare what they say, time them, take the fastest that agrees.

Two cores and half a minute are not enough for every setting of every candidate, so the field is narrowed: all agreeing
candidates in their smallest batch, then the leaders over batches, then the last few again. Rounds go around, so that
a neighbour's load falls on all alike, and the best round of a setting counts: load only ever takes speed away.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from inference_engine.called import without_called
from inference_engine.comparing import Reference, against, agreement_with, reference_of
from inference_engine.errors import EngineError
from inference_engine.images import Fit, Image
from inference_engine.loading import open_candidate, open_failed
from inference_engine.machine import Machine
from inference_engine.measurements import Agreement, Measured, Measurement, Setting, Speed
from inference_engine.model import VisionModel
from inference_engine.negotiation import Candidate, Decision, Reason, chosen_first, is_reduced
from inference_engine.resolution_cache import ResolutionCache, resolution_key
from inference_engine.samples import generated_images
from inference_engine.sessions import SessionOptions, Tensors
from inference_engine.timing import images_per_second, make_batches
from inference_engine.tuning import Limits, batch_sizes, leaders, openings

logger = logging.getLogger(__name__)

#: Pictures that are run at most: enough to compare, few enough to keep as tensors.
MOST_IMAGES = 12
#: Enough for five candidates of 10 GFLOP on two cores.
DEFAULT_BUDGET_S = 30.0
_GENERATED, _GENERATED_HW = 8, (480, 640)
_SCREEN_ROUNDS, _FINAL_ROUNDS = 2, 3
_SCREEN_WITHIN, _SCREEN_MOST = 0.7, 6
_FINAL_WITHIN, _FINAL_MOST = 0.9, 4
#: Seconds of a slice at least, and slices that come after the screening: up to 12 over batches, 12 at last, which
#: run longer than a slice where the model is slow.
_SHORTEST_S, _LATER_SLICES = 0.03, 36
Opening = tuple[int, int]


def measure(
    decision: Decision,
    images: Sequence[Image] | None,
    budget_s: float,
    limits: Limits | None = None,
    *,
    slice_s: float = 0.5,
) -> Decision:
    """Give the decision with the fastest candidate that agrees chosen, and all figures beside the candidates.

    Args:
        decision: of strategy `order`; its rejected candidates stay rejected.
        images: `(H, W, 3)` uint8 RGB, the first twelve are run; None: generated ones.
        budget_s: no candidate is opened and no round begins later; what is open by then gets one short slice.
        limits: cores and runs at once; None: one core, one run.
        slice_s: of one setting in one round at most; a smaller budget makes it shorter.
    """
    if (measurable := without_called(decision)) is None:
        return decision
    decision = measurable
    pictures = list(images or generated_images(_GENERATED, _GENERATED_HW))[:MOST_IMAGES]
    contest = _Contest(decision, pictures, limits or Limits(1), (budget_s, slice_s))
    try:
        contest.run()
    finally:
        contest.close()
    return contest.result(_source(images))


def resolve(
    decision: Decision,
    machine: Machine,
    images: Sequence[Image] | None,
    *,
    budget_s: float = DEFAULT_BUDGET_S,
    limits: Limits | None = None,
    cache: ResolutionCache | None = None,
) -> Decision:
    """Give what the cache remembers of this question, else measure and remember it.

    A measurement that its budget cut short is not remembered: a later, longer one should not be kept from happening.
    """
    if decision.chosen is None:
        return decision
    bounds = limits or Limits(machine.cpu_count)
    key = resolution_key(decision, machine, bounds, _source(images))
    if cache and (known := cache.read(key, decision)):
        return known
    found = measure(decision, images, budget_s, bounds)
    if cache and found.chosen and found.measured and found.measured.is_complete:
        cache.write(key, found)
    return found


def _source(images: Sequence[Image] | None) -> str:
    return "given" if images else "generated"


@dataclass(slots=True, eq=False)
class _Contender:
    """One candidate while it is measured; several sessions where threads and streams are tuned."""

    candidate: Candidate
    tensors: list[Tensors]
    batches: list[int]
    models: dict[Opening, VisionModel] = field(default_factory=dict)
    speeds: dict[Setting, float] = field(default_factory=dict)
    agreement: Agreement | None = None
    refused: Reason | None = None

    def measured(self) -> Candidate:
        """The candidate with its figures; without any, with the reason."""
        if self.speeds:
            best = max(self.speeds, key=lambda setting: self.speeds[setting])
            curve = tuple(Speed(setting, self.speeds[setting]) for setting in sorted(self.speeds))
            found = Measurement(best, self.speeds[best], curve, self.agreement)
            return replace(self.candidate, measurement=found, reasons=())
        late = Reason("not_measured", "the time to measure was over before its turn", "give a larger budget")
        return replace(self.candidate, verdict="runnable", reasons=(late,))


class _Contest:
    """The state of one measurement."""

    def __init__(
        self, decision: Decision, images: Sequence[Image], limits: Limits, seconds: tuple[float, float]
    ) -> None:
        self._decision, self._images, self._limits = decision, images, limits
        self._budget_s, self._longest_s = seconds
        self._started = time.perf_counter()
        self._slice_s = min(_SHORTEST_S, self._longest_s)
        self._prepared: dict[str, tuple[list[Tensors], list[Fit]]] = {}
        self._contenders: list[_Contender] = []
        self._truth: Reference | None = None

    def run(self) -> None:
        """Find the reference, compare the others with it, narrow the field."""
        waiting = [c for c in self._decision.candidates if c.verdict != "rejected"]
        ordered = sorted(waiting, key=is_reduced)
        for candidate in ordered:
            contender = _Contender(candidate, [], [])
            self._contenders.append(contender)
            if self._truth is None or not self._is_over():
                self._guarded(contender, self._enter)
        self._narrow()

    def close(self) -> None:
        """Close every session."""
        for contender in self._contenders:
            self._leave(contender)

    def result(self, source: str) -> Decision:
        """The decision in order of speed."""
        found = [c.measured() for c in self._contenders if c.refused is None]
        found.sort(key=lambda c: (-(c.measurement.images_per_s if c.measurement else 0), c.key))
        refused = [
            replace(c.measured(), verdict="rejected", reasons=(c.refused,)) for c in self._contenders if c.refused
        ]
        rejected = [c for c in self._decision.candidates if c.verdict == "rejected"]
        measured = Measured(
            reference=self._truth.candidate.key if self._truth else (),
            images=len(self._images),
            source=source,
            budget_s=self._budget_s,
            seconds=round(time.perf_counter() - self._started, 3),
            is_complete=all(c.measurement for c in found),
        )
        candidates = (*chosen_first(found, self._decision.wishes), *refused, *rejected)
        return replace(self._decision, candidates=candidates, strategy="measured", measured=measured)

    def _is_over(self) -> bool:
        return time.perf_counter() - self._started >= self._budget_s

    def _guarded(self, contender: _Contender, step: Callable[[_Contender], None]) -> None:
        """Whatever a runtime raises is a reason against its candidate, and the others go on."""
        try:
            step(contender)
        except Exception as error:  # noqa: BLE001 (the reason is recorded)
            is_open = bool(contender.models)
            contender.refused = Reason("run_failed", str(error)) if is_open else open_failed(error)
            logger.warning("%s does not take part: %s", contender.candidate.key, error)
            self._leave(contender)

    def _enter(self, contender: _Contender) -> None:
        """Open a candidate for one run at a time, run every picture, compare."""
        candidate, wished = contender.candidate, self._decision.wishes.largest_batch
        package = self._decision.packages[candidate.package_id]
        contender.batches = batch_sizes(package, candidate.device, wished)
        model = self._open(contender, openings(candidate.device, replace(self._limits, streams=1))[0])
        contender.tensors, fits = self._prepare(model)
        outputs = [model.forward(tensors) for tensors in contender.tensors]
        if self._truth is None:
            self._truth = reference_of(candidate, model, outputs, fits)
        else:
            is_asked = self._decision.wishes.quantization is not None
            contender.agreement = agreement_with(self._truth, candidate, model, outputs, fits)
            contender.refused = against(self._truth, candidate, contender.agreement, is_asked=is_asked)
        if contender.refused:
            self._time(contender, Setting(contender.batches[0], *next(iter(contender.models))))
            self._leave(contender)
            return
        for opening in openings(candidate.device, self._limits):
            if opening not in contender.models:
                self._open(contender, opening)

    def _open(self, contender: _Contender, opening: Opening) -> VisionModel:
        options = SessionOptions(threads=opening[1], concurrency=opening[0])
        model: VisionModel = open_candidate(self._decision, contender.candidate, options)
        contender.models[opening] = model
        return model

    def _prepare(self, model: VisionModel) -> tuple[list[Tensors], list[Fit]]:
        """Tensors of all pictures under the names that this session has for them."""
        if model.package.package_id not in self._prepared:
            made = [model.preprocess(image) for image in self._images]
            self._prepared[model.package.package_id] = [t for t, _ in made], [fit for _, fit in made]
        tensors, fits = self._prepared[model.package.package_id]
        names = [spec.name for spec in model.session.inputs]
        return [dict(zip(names, one.values(), strict=True)) for one in tensors], fits

    def _narrow(self) -> None:
        """Screen all, then the leaders over batches, then the best settings again."""
        field_ = [c for c in self._contenders if c.models]
        first = [(c, Setting(c.batches[0], *opening)) for c in field_ for opening in c.models]
        left = self._budget_s - (time.perf_counter() - self._started)
        slices = len(first) * _SCREEN_ROUNDS + _LATER_SLICES
        self._slice_s = min(self._longest_s, max(_SHORTEST_S, left / slices))
        self._rounds(first, _SCREEN_ROUNDS)
        ahead = leaders(self._speeds(), _SCREEN_WITHIN, _SCREEN_MOST)
        self._keep(ahead)
        larger = [(c, replace(s, batch=batch)) for c, s in ahead for batch in c.batches[1:]]
        self._rounds(larger, 1)
        self._rounds(leaders(self._speeds(), _FINAL_WITHIN, _FINAL_MOST), _FINAL_ROUNDS)

    def _speeds(self) -> dict[tuple[_Contender, Setting], float]:
        return {(c, setting): speed for c in self._contenders if c.models for setting, speed in c.speeds.items()}

    def _keep(self, ahead: Iterable[tuple[_Contender, Setting]]) -> None:
        """Close what fell behind, which gives its memory to those that stay."""
        wanted = {(contender, setting.streams, setting.threads) for contender, setting in ahead}
        for contender in self._contenders:
            for opening in [opening for opening in contender.models if (contender, *opening) not in wanted]:
                contender.models.pop(opening).close()

    def _rounds(self, entries: Sequence[tuple[_Contender, Setting]], count: int) -> None:
        for _ in range(count):
            for contender, setting in entries:
                if contender.models and not (contender.speeds and self._is_over()):
                    self._guarded(contender, lambda entered, at=setting: self._time(entered, at))  # type: ignore[misc]

    def _time(self, contender: _Contender, setting: Setting) -> None:
        model = contender.models.get((setting.streams, setting.threads))
        if model is None:
            return
        try:
            batches = make_batches(contender.tensors, setting.batch)
            speed = images_per_second(model.session, batches, setting.streams, self._slice_s)
        except EngineError:
            # A batch that does not fit ends that setting; one image that does not run ends the candidate.
            if setting.batch == contender.batches[0]:
                raise
            logger.info("%s does not run at %s", contender.candidate.key, setting, exc_info=True)
            return
        contender.speeds[setting] = max(speed, contender.speeds.get(setting, 0.0))

    @staticmethod
    def _leave(contender: _Contender) -> None:
        while contender.models:
            contender.models.popitem()[1].close()
