"""One measurement: candidates are opened, compared, timed, and the field is narrowed.

Two cores and half a minute are not enough for every setting of every candidate: all agreeing candidates run in their
smallest batch, then the leaders' variants, then the leaders over batches, then the last few again. Rounds go around, so
that a neighbour's load falls on all alike, and the best round of a setting counts: load only ever takes speed away.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from inference_engine.comparing import Reference, against, agreement_with, reference_of
from inference_engine.errors import EngineError
from inference_engine.images import Fit, Image
from inference_engine.loading import open_candidate, open_failed, switches
from inference_engine.measurements import SWITCHES, Agreement, Measured, Measurement, NotTaken, Setting, Speed
from inference_engine.model import VisionModel
from inference_engine.negotiation import Candidate, Decision, Reason, chosen_first, is_reduced
from inference_engine.sessions import SessionOptions, Tensors
from inference_engine.timing import images_per_second, make_batches
from inference_engine.tuning import Limits, batch_sizes, leaders, openings

logger = logging.getLogger(__name__)

_SCREEN_ROUNDS, _VARIANT_ROUNDS, _FINAL_ROUNDS = 2, 2, 3
_SCREEN_WITHIN, _SCREEN_MOST = 0.7, 6
_VARIANT_WITHIN, _VARIANT_MOST = 0.7, 3
_FINAL_WITHIN, _FINAL_MOST = 0.9, 4
#: Seconds of a slice at least, and slices that come after the screening: up to 6 for each switch, 12 over batches, 12
#: at last, which run longer than a slice where the model is slow.
_SHORTEST_S, _LATER_SLICES = 0.03, 42
#: Seconds that must be left before a module is compiled, which nothing can interrupt: the starter model took 35 to open
#: and 10 more for its second batch size on two busy cores (PyTorch 2.13, g++ 12).
_COMPILE_S = 60.0


@dataclass(slots=True, eq=False)
class _Contender:
    """One candidate while it is measured; several sessions where threads, streams and switches are tuned.

    Attributes:
        agreements: by the switches that are not as usual; none for the reference as usual.
        not_taken: by the same, the variants that are not tried again.
    """

    candidate: Candidate
    batches: list[int] = field(default_factory=list)
    models: dict[SessionOptions, VisionModel] = field(default_factory=dict)
    speeds: dict[Setting, float] = field(default_factory=dict)
    agreements: dict[tuple[str, ...], Agreement | None] = field(default_factory=dict)
    not_taken: dict[tuple[str, ...], NotTaken] = field(default_factory=dict)
    refused: Reason | None = None

    def model_for(self, setting: Setting) -> VisionModel | None:
        """The open session of a setting, whatever its batch; None where it was closed."""
        wanted = replace(setting, batch=0)
        return next((model for options, model in self.models.items() if Setting.of(options, 0) == wanted), None)

    def measured(self) -> Candidate:
        """The candidate with its figures; without any, with the reason."""
        if self.speeds:
            best = max(self.speeds, key=lambda setting: self.speeds[setting])
            curve = tuple(Speed(setting, self.speeds[setting]) for setting in sorted(self.speeds))
            agreement = self.agreements.get(best.variant)
            found = Measurement(best, self.speeds[best], curve, agreement, tuple(self.not_taken.values()))
            return replace(self.candidate, measurement=found, reasons=())
        late = Reason("not_measured", "the time to measure was over before its turn", "give a larger budget")
        return replace(self.candidate, verdict="runnable", reasons=(late,))


class Contest:
    """The state of one measurement."""

    def __init__(
        self,
        decision: Decision,
        images: Sequence[Image],
        limits: Limits,
        seconds: tuple[float, float],
        options: SessionOptions,
    ) -> None:
        self._decision, self._images, self._limits, self._options = decision, images, limits, options
        self._budget_s, self._longest_s = seconds
        self._started = time.perf_counter()
        self._slice_s = min(_SHORTEST_S, self._longest_s)
        self._prepared: dict[tuple[str, bool], tuple[list[Tensors], list[Fit]]] = {}
        self._contenders: list[_Contender] = []
        self._truth: Reference | None = None
        self._usual = Setting.of(options, 0).variant
        self._is_cut_short = False

    def run(self) -> None:
        """Find the reference, compare the others with it, narrow the field."""
        waiting = [c for c in self._decision.candidates if c.verdict != "rejected"]
        ordered = sorted(waiting, key=is_reduced)
        for candidate in ordered:
            contender = _Contender(candidate)
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
            is_complete=not self._is_cut_short and all(c.measurement for c in found),
        )
        candidates = (*chosen_first(found, self._decision.wishes), *refused, *rejected)
        return replace(self._decision, candidates=candidates, strategy="measured", measured=measured)

    def _left_s(self) -> float:
        return self._budget_s - (time.perf_counter() - self._started)

    def _is_over(self) -> bool:
        return self._left_s() <= 0

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
        candidate, wished = contender.candidate, self._decision.wishes.batch_size
        package = self._decision.packages[candidate.package_id]
        contender.batches = batch_sizes(package, candidate.device, wished)
        alone = replace(self._limits, streams=1)
        first = openings(candidate.device, alone, self._options)[0]
        contender.models[first] = self._open(candidate, first)
        contender.refused = self._judge(contender, contender.models[first], Setting.of(first, contender.batches[0]))
        if contender.refused:
            self._time(contender, Setting.of(first, contender.batches[0]))
            self._leave(contender)
            return
        for opening in openings(candidate.device, self._limits, self._options):
            if opening not in contender.models:
                contender.models[opening] = self._open(candidate, opening)

    def _judge(self, contender: _Contender, model: VisionModel, setting: Setting) -> Reason | None:
        """Run every picture; the first that is judged is the reference, the others must agree with it."""
        tensors, fits = self._prepare(model, setting)
        outputs = [model.forward(one) for one in tensors]
        if self._truth is None:
            self._truth = reference_of(contender.candidate, model, outputs, fits)
            return None
        agreement = agreement_with(self._truth, contender.candidate, model, outputs, fits)
        contender.agreements[setting.variant] = agreement
        is_asked = self._decision.wishes.quantization is not None
        return against(
            self._truth, contender.candidate, agreement, is_asked=is_asked, is_rectangular=setting.rectangular
        )

    def _open(self, candidate: Candidate, options: SessionOptions) -> VisionModel:
        model: VisionModel = open_candidate(self._decision, candidate, options)
        return model

    def _prepare(self, model: VisionModel, setting: Setting) -> tuple[list[Tensors], list[Fit]]:
        """Tensors of all pictures under the names that this session has for them."""
        key = model.package.package_id, setting.rectangular
        if key not in self._prepared:
            made = [model.preprocess(image) for image in self._images]
            self._prepared[key] = [t for t, _ in made], [fit for _, fit in made]
        tensors, fits = self._prepared[key]
        names = [spec.name for spec in model.session.inputs]
        return [dict(zip(names, one.values(), strict=True)) for one in tensors], fits

    def _narrow(self) -> None:
        """Screen all, then the leaders' variants, then the leaders over batches, then the best settings again."""
        field_ = [c for c in self._contenders if c.models]
        first = [(c, Setting.of(opening, c.batches[0])) for c in field_ for opening in c.models]
        slices = len(first) * _SCREEN_ROUNDS + _LATER_SLICES
        self._slice_s = min(self._longest_s, max(_SHORTEST_S, self._left_s() / slices))
        self._rounds(first, _SCREEN_ROUNDS)
        self._keep(leaders(self._speeds(), _SCREEN_WITHIN, _SCREEN_MOST))
        for switch in SWITCHES:
            for contender, setting in leaders(self._speeds(), _VARIANT_WITHIN, _VARIANT_MOST):
                self._flip(contender, setting, switch)
        ahead = leaders(self._speeds(), _SCREEN_WITHIN, _SCREEN_MOST)
        self._keep(ahead)
        larger = [(c, replace(s, batch=batch)) for c, s in ahead for batch in c.batches[1:]]
        self._rounds(larger, 1)
        self._rounds(leaders(self._speeds(), _FINAL_WITHIN, _FINAL_MOST), _FINAL_ROUNDS)

    def _flip(self, contender: _Contender, setting: Setting, switch: str) -> None:
        """Try a leader with one switch the other way; whatever is in the way speaks against the variant alone."""
        flipped = replace(setting, **{switch: not getattr(setting, switch)})
        model = contender.model_for(setting)
        is_known = flipped in contender.speeds or flipped.variant in contender.not_taken
        if model is None or is_known or switch not in switches(contender.candidate, model.package):
            return
        if why := self._no_time(flipped):
            self._give_up(contender, flipped, why)
            return
        options = replace(flipped.options(self._options), falls_back=False)
        try:
            model = contender.models[options] = self._open(contender.candidate, options)
            reason = None if flipped.variant in contender.agreements else self._judge(contender, model, flipped)
        except Exception as error:  # noqa: BLE001 (the reason is recorded)
            reason = open_failed(error)
        if reason is not None:
            self._give_up(contender, flipped, reason.message)
        self._rounds([(contender, flipped)], _VARIANT_ROUNDS)

    def _give_up(self, contender: _Contender, setting: Setting, why: str) -> None:
        """Leave a variant out, whatever its batch, streams and threads, and remember why."""
        contender.not_taken[setting.variant] = NotTaken(", ".join(setting.variant), why)
        logger.info("%s is not taken %s", contender.candidate.key, contender.not_taken[setting.variant])
        contender.speeds = {s: speed for s, speed in contender.speeds.items() if s.variant != setting.variant}
        for options in [o for o in contender.models if Setting.of(o, 0).variant == setting.variant]:
            contender.models.pop(options).close()

    def _no_time(self, setting: Setting) -> str | None:
        if setting.compile and 0 < self._left_s() <= _COMPILE_S:
            return f"{self._left_s():.0f} s of the budget were left, it takes {_COMPILE_S:.0f}"
        self._is_cut_short = self._is_cut_short or self._is_over()
        return "the budget was over before its turn" if self._is_over() else None

    def _speeds(self) -> dict[tuple[_Contender, Setting], float]:
        return {(c, setting): speed for c in self._contenders if c.models for setting, speed in c.speeds.items()}

    def _keep(self, ahead: Iterable[tuple[_Contender, Setting]]) -> None:
        """Close what fell behind, which gives its memory to those that stay."""
        wanted = {(contender, replace(setting, batch=0)) for contender, setting in ahead}
        for contender in self._contenders:
            for opening in list(contender.models):
                if (contender, Setting.of(opening, 0)) not in wanted:
                    contender.models.pop(opening).close()

    def _rounds(self, entries: Sequence[tuple[_Contender, Setting]], count: int) -> None:
        for _ in range(count):
            for contender, setting in entries:
                if contender.models and not (contender.speeds and self._is_over()):
                    self._guarded(contender, lambda entered, at=setting: self._time(entered, at))  # type: ignore[misc]

    def _time(self, contender: _Contender, setting: Setting) -> None:
        model = contender.model_for(setting)
        if model is None:
            return
        try:
            batches = make_batches(self._prepare(model, setting)[0], setting.batch)
            speed = images_per_second(model.session, batches, setting.streams, self._slice_s)
        except EngineError as error:
            # A batch that does not fit ends that setting; one image that does not run ends the variant or candidate.
            if setting.batch != contender.batches[0]:
                logger.info("%s does not run at %s", contender.candidate.key, setting, exc_info=True)
            elif setting.variant != self._usual:
                self._give_up(contender, setting, str(error))
            else:
                raise
            return
        contender.speeds[setting] = max(speed, contender.speeds.get(setting, 0.0))

    @staticmethod
    def _leave(contender: _Contender) -> None:
        while contender.models:
            contender.models.popitem()[1].close()
