"""What strategy `measured` finds, as data: settings, speeds, agreement. Pure and JSON-safe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from inference_engine.sessions import SessionOptions

#: Switches of `SessionOptions` that are measured, and what a setting is called where one is not as usual.
SWITCHES = {
    "rectangular": "rectangular",
    "channels_last": "channels first",
    "compile": "compiled",
    "cuda_graphs": "no CUDA graphs",
}


@dataclass(frozen=True, slots=True, order=True)
class Setting:
    """How a session was run.

    Attributes:
        batch: images a run.
        streams: runs under way at once.
        threads: threads within one run; 0: as the runtime has it.
        rectangular: pictures were padded up to the next multiple of a divisor only, see `network_input.rectangular`.
        channels_last, compile, cuda_graphs: as in `SessionOptions`; what a runtime does not know stays as usual.
    """

    batch: int
    streams: int
    threads: int
    rectangular: bool = False
    channels_last: bool = True
    compile: bool = False
    cuda_graphs: bool = True

    @classmethod
    def of(cls, options: SessionOptions, batch: int) -> Setting:
        """The setting of a session that was opened with these options."""
        switches = {name: getattr(options, name) for name in SWITCHES}
        return cls(batch, options.concurrency, options.threads, **switches)

    def options(self, base: SessionOptions) -> SessionOptions:
        """What a session is opened with to run in this setting; the rest is as in `base`."""
        switches = {name: getattr(self, name) for name in SWITCHES}
        return replace(base, concurrency=self.streams, threads=self.threads, **switches)

    @property
    def variant(self) -> tuple[str, ...]:
        """What is not as usual, in words."""
        usual = SessionOptions()
        return tuple(word for name, word in SWITCHES.items() if getattr(self, name) != getattr(usual, name))

    def __str__(self) -> str:
        return ", ".join((f"{self.batch} x {self.streams} x {self.threads or 'auto'}", *self.variant))


@dataclass(frozen=True, slots=True)
class Speed:
    """One point of the curve: the best round of a setting."""

    setting: Setting
    images_per_s: float


@dataclass(frozen=True, slots=True)
class NotTaken:
    """A variant of a candidate that was not measured, or may not be used, and why."""

    variant: str
    why: str

    def __str__(self) -> str:
        return f"{self.variant}: {self.why}"


@dataclass(frozen=True, slots=True)
class Agreement:
    """How near predictions come to those of the reference candidate.

    Attributes:
        by: `boxes`, `masks`, `key points` or `turned boxes` where decoded detections were compared, `classes` where
            scores of classes were, `outputs` where raw tensors were.
        compared: boxes, or images, that were compared.
        share: of them, those that have their like on the other side, 0 to 1.
        mean_iou: overlap or likeness of the matched instances; None where something else was compared.
        difference: mean absolute difference of scores, or relative distance of tensors.
        agrees: within the tolerance of the precision.
    """

    by: str
    compared: int
    share: float
    mean_iou: float | None
    difference: float
    agrees: bool

    def __str__(self) -> str:
        overlap = "" if self.mean_iou is None else f", IoU {self.mean_iou:.3f}"
        return f"{self.share:.1%} of {self.compared} {self.by}{overlap}, off by {self.difference:.4f}"


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one candidate was measured to do.

    Attributes:
        setting: the fastest one.
        images_per_s: of the network alone, in that setting; reading, preparing and decoding pictures is not in it.
        curve: every setting that was tried, by setting.
        agreement: in that setting; None for the reference itself.
        not_taken: variants that do not count.
    """

    setting: Setting
    images_per_s: float
    curve: tuple[Speed, ...]
    agreement: Agreement | None = None
    not_taken: tuple[NotTaken, ...] = ()


@dataclass(frozen=True, slots=True)
class Measured:
    """How a decision was measured.

    Attributes:
        reference: package, backend, device and precision of the candidate that the others must agree with.
        images: pictures that were run.
        source: `given`, or `generated` where the caller had none.
        seconds: that measuring took.
        is_complete: every runnable candidate, and every variant but compiling, had its turn within the budget.
        is_remembered: read from the resolution cache.
    """

    reference: tuple[str, ...]
    images: int
    source: str
    budget_s: float
    seconds: float
    is_complete: bool
    is_remembered: bool = False


def measurement_from_record(record: Mapping[str, Any]) -> Measurement:
    """The measurement that `asdict` wrote.

    Raises:
        KeyError, TypeError: the record is not one.
    """
    agreement = record["agreement"]
    return Measurement(
        Setting(**record["setting"]),
        float(record["images_per_s"]),
        tuple(Speed(Setting(**point["setting"]), float(point["images_per_s"])) for point in record["curve"]),
        Agreement(**agreement) if agreement is not None else None,
        tuple(NotTaken(**entry) for entry in record["not_taken"]),
    )
