"""Choose what runs a model on a machine, and keep the receipts. Pure: packages, offers and wishes come in as data.

A candidate is a package x a backend that opens its kind x a device of that backend, so that a GPU that turns out not to
work leaves the CPU to try, x a precision in which that backend can run it. All reasons against a candidate are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from inference_engine.decision_table import text_table
from inference_engine.judging import Offer, Package, Way, reasons_against
from inference_engine.machine import Machine
from inference_engine.measurements import Measured, Measurement
from inference_engine.reasons import REASON_CODES, Reason
from inference_engine.wishes import NmsFusion, Wishes

__all__ = [
    "BACKEND_ORDER",
    "REASON_CODES",
    "Candidate",
    "Decision",
    "NmsFusion",
    "Offer",
    "Package",
    "Reason",
    "Wishes",
    "chosen_first",
    "is_reduced",
    "negotiate",
]

#: Best first: the order of the seeds. A setting may change it; the docs' table is made from it.
BACKEND_ORDER = ("trt", "torch", "hf", "openvino", "onnx")
#: Precisions that change results; taken by themselves only where nothing better runs.
REDUCED_PRECISIONS = frozenset({"int8"})
_PRECISION_ORDER = ("fp32", "fp16", "bf16", "unknown", "int8")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One package on one backend, with the verdict and every reason.

    Attributes:
        quantization: precision of the arithmetic.
        verdict: `chosen`, `runnable` (works, but another is better) or `rejected`.
        is_lowered: the precision is below the package's own.
        measurement: what strategy `measured` found; None where it did not run.
    """

    package_id: str
    backend: str
    device: str
    quantization: str
    verdict: Literal["chosen", "runnable", "rejected"]
    reasons: tuple[Reason, ...] = ()
    is_lowered: bool = False
    measurement: Measurement | None = None

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What tells it from the other candidates of its decision."""
        return self.package_id, self.backend, self.device, self.quantization


@dataclass(frozen=True, slots=True)
class Decision:
    """Every candidate, best first, the chosen one among them unless nothing runs.

    Attributes:
        strategy: `order`, or `measured` where the times decided.
        measured: how was measured, with strategy `measured`.
    """

    model_id: str
    candidates: tuple[Candidate, ...]
    wishes: Wishes
    strategy: str = "order"
    order: tuple[str, ...] = BACKEND_ORDER
    packages: Mapping[str, Package] = field(default_factory=dict, compare=False, repr=False)
    measured: Measured | None = None

    @property
    def chosen(self) -> Candidate | None:
        """The candidate to open; None when nothing runs."""
        return next((c for c in self.candidates if c.verdict == "chosen"), None)

    def to_record(self) -> dict[str, Any]:
        """JSON-safe, without the packages themselves."""
        return {
            "model_id": self.model_id,
            "strategy": self.strategy,
            "order": list(self.order),
            "wishes": asdict(self.wishes),
            "candidates": [asdict(candidate) for candidate in self.candidates],
            "measured": asdict(self.measured) if self.measured else None,
        }

    def without(self, failed: Candidate, reason: Reason) -> Decision:
        """The decision after a candidate turned out not to open: the next runnable one is chosen."""
        rejected = replace(failed, verdict="rejected", reasons=(reason,))
        runnable = [c for c in self.candidates if c.verdict == "runnable"]
        others = [c for c in self.candidates if c.verdict == "rejected"]
        return replace(self, candidates=(*chosen_first(runnable, self.wishes), *others, rejected))

    def without_package(self, package_id: str, reason: Reason) -> Decision:
        """The decision after a package turned out to be unusable, on whatever backend."""
        gone = [c for c in self.candidates if c.package_id == package_id and c.verdict != "rejected"]
        runnable = [c for c in self.candidates if c.verdict != "rejected" and c not in gone]
        others = [c for c in self.candidates if c.verdict == "rejected"]
        rejected = [replace(c, verdict="rejected", reasons=(reason,)) for c in gone]
        return replace(self, candidates=(*chosen_first(runnable, self.wishes), *others, *rejected))

    def __str__(self) -> str:
        notes = [f"note: {p.package_id}: {warning}" for p in self.packages.values() for warning in p.warnings]
        return "\n".join([text_table(self.candidates), *notes])


def negotiate(  # noqa: PLR0913 (what is judged, where, and by whose wishes)
    model_id: str,
    packages: Sequence[Package],
    offers: Mapping[str, Offer],
    wishes: Wishes = Wishes(),  # noqa: B008 (frozen)
    *,
    machine: Machine,
    broken: Mapping[str, str] | None = None,
    order: tuple[str, ...] = BACKEND_ORDER,
) -> Decision:
    """Judge every candidate and choose the best that runs; `Decision.chosen` is None when none does.

    Args:
        offers: by backend, what it can do on this machine.
        machine: what packages' requirements are compared with.
        broken: package id -> why its files cannot be used.
        order: backends, best first; one that is not named comes last. Backends that were wished for, several of them,
            have the order of the wish.
    """
    ranked = sorted(
        (
            (_rank(way, order, wishes), _judged(way, machine, wishes))
            for package in packages
            for offer in _openers(package, offers)
            for device in _devices(package, offer, machine, wishes)
            for way in _ways(package, offer, device)
        ),
        key=lambda pair: pair[0],
    )
    runnable = [candidate for _, candidate in ranked if candidate.verdict == "runnable"]
    rejected = [candidate for _, candidate in ranked if candidate.verdict == "rejected"]
    ruined = [
        Candidate(name, "", "", "unknown", "rejected", (Reason("package_invalid", message),))
        for name, message in sorted((broken or {}).items())
    ]
    return Decision(
        model_id,
        (*chosen_first(runnable, wishes), *rejected, *ruined),
        wishes,
        order=order,
        packages={package.package_id: package for package in packages},
    )


def _openers(package: Package, offers: Mapping[str, Offer]) -> list[Offer]:
    """The backends that open this kind; an offer that opens nothing stands for an unknown kind."""
    found = [offer for offer in offers.values() if package.kind in offer.opens]
    kinds = sorted({kind for offer in offers.values() for kind in offer.opens})
    reason = Reason("unknown_kind", f"no backend opens packages of kind {package.kind!r}, only {', '.join(kinds)}")
    return found or [Offer(package.kind, frozenset({package.kind}), missing=reason)]


def _devices(package: Package, offer: Offer, machine: Machine, wishes: Wishes) -> tuple[str, ...]:
    """Devices to judge it on; a backend that is missing stands on the one that it would be for."""
    if wishes.device != "auto":
        return (wishes.device,)
    return offer.devices or (("cuda",) if package.requirements.needs_gpu and machine.gpus else ("cpu",))


def _ways(package: Package, offer: Offer, device: str) -> list[Way]:
    """The package's own precision, and those below it that this backend can run it in on this device."""
    own = package.quantization
    lower = offer.lowers.get((device.partition(":")[0], own), ())
    return [Way(package, offer, device, precision) for precision in (own, *lower)]


def _judged(way: Way, machine: Machine, wishes: Wishes) -> Candidate:
    reasons = reasons_against(way, machine, wishes)
    verdict: Literal["runnable", "rejected"] = "rejected" if reasons else "runnable"
    is_lowered = way.precision != way.package.quantization
    return Candidate(way.package.package_id, way.offer.backend, way.device, way.precision, verdict, reasons, is_lowered)


def _rank(way: Way, order: tuple[str, ...], wishes: Wishes) -> tuple[Any, ...]:
    """What sorts candidates, best first: results before speed, then the orders, then names, so that none are equal."""
    backends = wishes.backends if len(wishes.backends) > 1 else order
    changes = way.precision != way.package.quantization or way.precision in REDUCED_PRECISIONS
    return (
        changes and not wishes.precisions,
        _place(way.offer.backend, backends),
        _place(way.precision, wishes.precisions or _PRECISION_ORDER),
        way.device == "cpu",
        # A plan that newer versions read as well is slower than one that was built for this one.
        way.package.requirements.version_compatible,
        way.package.package_id,
        way.offer.backend,
        way.precision,
    )


def _place(name: str, order: Sequence[str]) -> int:
    return order.index(name) if name in order else len(order)


def is_reduced(candidate: Candidate) -> bool:
    """Say whether the precision changes results against what the model can give."""
    return candidate.is_lowered or candidate.quantization in REDUCED_PRECISIONS


def chosen_first(runnable: Sequence[Candidate], wishes: Wishes) -> list[Candidate]:
    """The first that may be taken becomes the chosen one; the others say why they are not.

    A package is never run below its own precision unless that was asked for, or measured to agree.
    """
    first = next((c for c in runnable if not c.is_lowered or wishes.quantization or c.measurement), None)
    if first is None:
        return [replace(c, verdict="runnable", reasons=(_unasked(c),)) for c in runnable]
    others = [replace(c, verdict="runnable", reasons=(_why_not(c, first),)) for c in runnable if c is not first]
    return [replace(first, verdict="chosen", reasons=()), *others]


def _unasked(candidate: Candidate) -> Reason:
    """Why a lower precision does not step in where its package's own precision does not run."""
    told = f"{candidate.quantization} is below the package's own precision"
    found = Reason("lower_precision", told, _ask_for(candidate.quantization))
    return next((reason for reason in candidate.reasons if reason.code == "not_measured"), found)


def _ask_for(precision: str) -> str:
    return f'ask for it: quantization="{precision}", or strategy="measured"'


def _why_not(candidate: Candidate, chosen: Candidate) -> Reason:
    here, there = candidate.measurement, chosen.measurement
    if here and there:
        return Reason("slower", f"{here.images_per_s:.4g} images/s, the chosen one {there.images_per_s:.4g}")
    if there:
        return next((r for r in candidate.reasons if r.code == "not_measured"), _NOT_MEASURED)
    if is_reduced(candidate) and not is_reduced(chosen):
        told = f"{candidate.quantization} changes results against {chosen.quantization}"
        return Reason("lower_precision", told, _ask_for(candidate.quantization))
    return Reason(
        "lower_in_order", f"{chosen.backend} {chosen.quantization} on {chosen.device} comes first ({chosen.package_id})"
    )


_NOT_MEASURED = Reason("not_measured", "the time to measure was over before its turn", "give a larger budget")
