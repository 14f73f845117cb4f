"""Choose what runs a model on a machine, and keep the receipts. Pure: packages, offers and wishes come in as data.

A candidate is a package x a backend that opens its kind x a device of that backend, so that a GPU that turns out not to
work leaves the CPU to try, x a precision in which that backend can run it. All reasons against a candidate are kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from inference_engine.errors import ParameterInvalid
from inference_engine.measurements import Measured, Measurement
from inference_engine.packages import ModelPackage
from inference_engine.remote_packages import RemotePackage
from inference_engine.trust import TrustPolicy, against_trust

#: What is judged: a package on disk, or one that a provider offers.
Package = ModelPackage | RemotePackage
#: Best first: the order of the seeds. A setting may change it; the docs' table is made from it.
BACKEND_ORDER = ("trt", "torch", "hf", "openvino", "onnx")
#: Precisions that change results; taken by themselves only where nothing better runs.
REDUCED_PRECISIONS = frozenset({"int8"})
_DEVICE = re.compile(r"auto|cpu|cuda(:\d{1,3})?")
_PRECISION_ORDER = ("fp32", "fp16", "bf16", "unknown", "int8")

#: Every code that a reason can have, with what it means.
REASON_CODES = {
    "package_invalid": "the package's files are wrong",
    "unknown_kind": "no backend of this version opens such a package",
    "not_installed": "the runtime is not installed",
    "broken_runtime": "the runtime is installed but does not work",
    "device_missing": "the wished device is not there, or this backend cannot use it",
    "needs_gpu": "the package runs on a GPU only",
    "opset_too_new": "the runtime does not read this ONNX operator set",
    "backend_not_wanted": "the caller asked for another backend",
    "precision_not_wanted": "the caller asked for another precision",
    "batch_not_fitting": "the package's batch is not the one that the caller asked for",
    "untrusted": "the package can run code, and the caller has not said that it may",
    "open_failed": "the runtime refused to open the package",
    "lower_precision": "runs, but changes results; taken when asked for or when nothing else runs",
    "lower_in_order": "runs, but comes later in the order",
    "slower": "runs and agrees, but another candidate was measured to be faster",
    "outputs_disagree": "its predictions differ from the reference candidate's by more than the tolerance",
    "outputs_not_compared": "the samples gave no predictions that a lower precision could be judged by",
    "run_failed": "the runtime opened the package and could not run it",
    "not_measured": "the time to measure was over before its turn",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason against a candidate: a code of `REASON_CODES`, words, and what would help."""

    code: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """What one backend can do on this machine.

    Attributes:
        opens: kinds of packages.
        devices: `cpu`, `cuda`; empty where the backend cannot be used.
        missing: why it cannot be used; None when it can.
        max_opset: newest ONNX operator set that the runtime reads; None: not limited or not known.
        lowers: (kind of device, a package's precision) -> lower precisions that it can be run in there.
    """

    backend: str
    opens: frozenset[str]
    version: str | None = None
    devices: tuple[str, ...] = ()
    missing: Reason | None = None
    max_opset: int | None = None
    lowers: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the caller asks for; None leaves it to the negotiation.

    Attributes:
        device: `auto`, `cpu`, `cuda` or `cuda:<index>`.
        batch_size: images a run must take.
        trust: which packages may be opened that can run code.

    Raises:
        ParameterInvalid: device or batch size cannot be.
    """

    backend: str | None = None
    quantization: str | None = None
    batch_size: int | None = None
    device: str = "auto"
    trust: TrustPolicy = field(default_factory=TrustPolicy)

    def __post_init__(self) -> None:
        if not isinstance(self.device, str) or not _DEVICE.fullmatch(self.device):
            raise ParameterInvalid(f"device must be auto, cpu, cuda or cuda:<index>, found {self.device!r}")
        size = self.batch_size
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
            raise ParameterInvalid(f"batch_size must be a positive whole number, found {size!r}")


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
        rows = [("package", "backend", "precision", "verdict", "reason")]
        for c in self.candidates:
            told = "; ".join(f"{r.code}: {r.message}" + (f" ({r.hint})" if r.hint else "") for r in c.reasons)
            rows.append((c.package_id, c.backend, c.quantization, c.verdict, told))
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = ["  ".join((*(t.ljust(w) for t, w in zip(row, widths, strict=False)), row[4])) for row in rows]
        lines += [f"note: {p.package_id}: {warning}" for p in self.packages.values() for warning in p.warnings]
        return "\n".join(lines)


def negotiate(
    model_id: str,
    packages: Sequence[Package],
    offers: Mapping[str, Offer],
    wishes: Wishes = Wishes(),
    *,
    broken: Mapping[str, str] | None = None,
    order: tuple[str, ...] = BACKEND_ORDER,
) -> Decision:
    """Judge every candidate and choose the best that runs; `Decision.chosen` is None when none does.

    Args:
        offers: by backend, what it can do on this machine.
        broken: package id -> why its files cannot be used.
        order: backends, best first; one that is not named comes last.
    """
    judged = [
        _judge(package, offer, (device, precision), wishes)
        for package in packages
        for offer in _openers(package, offers)
        for device in _devices(offer, wishes)
        for precision in _precisions(package, offer, device)
    ]
    runnable = sorted((c for c in judged if c.verdict == "runnable"), key=lambda c: _rank(c, order, wishes))
    rejected = sorted((c for c in judged if c.verdict == "rejected"), key=lambda c: _rank(c, order, wishes))
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


def _judge(package: Package, offer: Offer, way: tuple[str, str], wishes: Wishes) -> Candidate:
    device, precision = way
    reasons = tuple(
        reason
        for reason in (
            offer.missing,
            _against_device(offer, wishes),
            _against_opset(package, offer),
            _against_wishes(offer.backend, wishes.backend, "backend_not_wanted", "backend"),
            _against_wishes(precision, wishes.quantization, "precision_not_wanted", "precision"),
            _against_batch(package, wishes),
            _against_trust(package, wishes),
        )
        if reason
    )
    verdict: Literal["runnable", "rejected"] = "rejected" if reasons else "runnable"
    is_lowered = precision != package.quantization
    return Candidate(package.package_id, offer.backend, device, precision, verdict, reasons, is_lowered)


def _precisions(package: Package, offer: Offer, device: str) -> tuple[str, ...]:
    """The package's own, and those below it that this backend can run it in on this device."""
    own = package.quantization
    return (own, *offer.lowers.get((device.partition(":")[0], own), ()))


def _devices(offer: Offer, wishes: Wishes) -> tuple[str, ...]:
    return (offer.devices or ("cpu",)) if wishes.device == "auto" else (wishes.device,)


def _against_device(offer: Offer, wishes: Wishes) -> Reason | None:
    kind = wishes.device.partition(":")[0]
    if offer.missing or kind == "auto" or kind in offer.devices:
        return None
    return Reason("device_missing", f"{offer.backend} has {', '.join(offer.devices)} here, not {wishes.device}")


def _against_opset(package: Package, offer: Offer) -> Reason | None:
    if offer.max_opset is None or (package.opset or 0) <= offer.max_opset:
        return None
    message = (
        f"the file has operator set {package.opset}, {offer.backend} {offer.version} reads up to {offer.max_opset}"
    )
    return Reason("opset_too_new", message, "install a newer runtime, or export with an older operator set")


def _against_wishes(found: str, wished: str | None, code: str, what: str) -> Reason | None:
    if wished in (None, found):
        return None
    return Reason(code, f"{what} is {found}, asked for {wished}")


def _against_batch(package: Package, wishes: Wishes) -> Reason | None:
    wanted, static = wishes.batch_size, package.static_batch_size
    if wanted is None or (static == wanted if static else wanted <= package.max_batch_size):
        return None
    has = f"exactly {static}" if static else f"at most {package.max_batch_size}"
    return Reason("batch_not_fitting", f"takes {has} images a run, asked for {wanted}")


def _against_trust(package: Package, wishes: Wishes) -> Reason | None:
    found = against_trust(package, wishes.trust)
    return Reason(*found) if found else None


def _rank(candidate: Candidate, order: tuple[str, ...], wishes: Wishes) -> tuple[bool, int, int, bool, str, str]:
    backend = order.index(candidate.backend) if candidate.backend in order else len(order)
    known = candidate.quantization in _PRECISION_ORDER
    precision = _PRECISION_ORDER.index(candidate.quantization) if known else len(_PRECISION_ORDER)
    reduced = is_reduced(candidate) and wishes.quantization is None
    return reduced, backend, precision, candidate.device == "cpu", candidate.package_id, candidate.backend


def is_reduced(candidate: Candidate) -> bool:
    """Say whether the precision changes results against what the model can give."""
    return candidate.is_lowered or candidate.quantization in REDUCED_PRECISIONS


def chosen_first(runnable: Sequence[Candidate], wishes: Wishes) -> list[Candidate]:
    """The first that may be taken becomes the chosen one; the others say why they are not.

    A package is never run below its own precision unless that was asked for, or measured to agree.
    """
    first = next((c for c in runnable if not c.is_lowered or wishes.quantization or c.measurement), None)
    if first is None:
        return list(runnable)
    others = [replace(c, verdict="runnable", reasons=(_why_not(c, first),)) for c in runnable if c is not first]
    return [replace(first, verdict="chosen", reasons=()), *others]


def _why_not(candidate: Candidate, chosen: Candidate) -> Reason:
    here, there = candidate.measurement, chosen.measurement
    if here and there:
        return Reason("slower", f"{here.images_per_s:.4g} images/s, the chosen one {there.images_per_s:.4g}")
    if there:
        return next((r for r in candidate.reasons if r.code == "not_measured"), _NOT_MEASURED)
    if is_reduced(candidate) and not is_reduced(chosen):
        hint = f'ask for it: quantization="{candidate.quantization}", or strategy="measured"'
        return Reason(
            "lower_precision", f"{candidate.quantization} changes results against {chosen.quantization}", hint
        )
    return Reason(
        "lower_in_order", f"{chosen.backend} {chosen.quantization} on {chosen.device} comes first ({chosen.package_id})"
    )


_NOT_MEASURED = Reason("not_measured", "the time to measure was over before its turn", "give a larger budget")
