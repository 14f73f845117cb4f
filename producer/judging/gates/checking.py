"""Whether a run is like the good ones before it. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from producer.judging.gates.figures import RunFigures

_Figure: TypeAlias = "Callable[[RunFigures], float | None]"


@dataclass(frozen=True, slots=True)
class GateLimits:
    """How far tonight may lie from the nights before; None lets everything pass.

    Attributes:
        empty_rate_rise: by how much the share of pictures without any object may rise, 0 to 1.
        objects_change: share by which the objects a picture may rise or fall: 0.5 lets 4 become 2 to 6.
        class_distance: Jensen-Shannon distance of the class mixes, 0 (the same) to 1 (no class in common).
        failed_rate_rise: by how much the share of pictures without a prediction may rise, 0 to 1.
        speed_share: least share of the usual images a second; judged if so many as `min_images` were computed.
        min_images: a run of fewer pictures is not judged, nor taken to judge by.

    Raises:
        ValueError: a limit that can never hold, or always does.
    """

    empty_rate_rise: float | None = 0.1
    objects_change: float | None = 0.5
    class_distance: float | None = 0.3
    failed_rate_rise: float | None = 0.02
    speed_share: float | None = 0.5
    min_images: int = 20

    def __post_init__(self) -> None:
        shares = {
            "empty_rate_rise": self.empty_rate_rise,
            "class_distance": self.class_distance,
            "failed_rate_rise": self.failed_rate_rise,
            "speed_share": self.speed_share,
        }
        for name, value in shares.items():
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name} is {value}; expected a number from 0 to 1, or null, which lets all pass")
        if self.objects_change is not None and not 0 <= self.objects_change < math.inf:
            raise ValueError(f"objects_change is {self.objects_change}; expected 0 or more, or null")
        if self.min_images < 1:
            raise ValueError(f"min_images is {self.min_images}; expected 1 or more")

    def unusual(self) -> dict[str, Any]:
        """Give the limits that differ from the usual ones, as a job keeps them."""
        usual = asdict(GateLimits())
        return {name: value for name, value in asdict(self).items() if value != usual[name]}


@dataclass(frozen=True, slots=True)
class Finding:
    """One gate.

    Attributes:
        gate: `empty_rate`, `objects_per_image`, `class_mix`, `failed_rate` or `speed`.
        found, expected: the figure tonight, and on the nights before: their median.
        limit: what `found` was held against.
        message: the same for people.
    """

    gate: str
    passed: bool
    found: float
    expected: float
    limit: float
    message: str


@dataclass(frozen=True, slots=True)
class GateReport:
    """A run's verdict.

    Attributes:
        compared_with: the jobs that it was held against; with none, nothing was judged and `passed` is true.
        note: why nothing was judged; empty where something was.
    """

    job_id: str
    passed: bool
    findings: tuple[Finding, ...]
    compared_with: tuple[str, ...]
    note: str = ""


def check(tonight: RunFigures, before: Sequence[RunFigures], limits: GateLimits = GateLimits()) -> GateReport:
    """Hold a run against good ones before it.

    Args:
        before: the last good runs; what is expected is the median of each figure, and their classes together.
    """
    good = [run for run in before if run.images >= limits.min_images]
    if tonight.images + tonight.failed < limits.min_images:
        tried = tonight.images + tonight.failed
        note = f"the run has {tried} pictures; fewer than {limits.min_images} are not judged"
        return GateReport(tonight.job_id, passed=True, findings=(), compared_with=(), note=note)
    if not good:
        note = f"no good run of {limits.min_images} pictures or more is there to hold it against"
        return GateReport(tonight.job_id, passed=True, findings=(), compared_with=(), note=note)
    findings = tuple(_findings(tonight, good, limits))
    is_good = all(finding.passed for finding in findings)
    return GateReport(tonight.job_id, is_good, findings, tuple(run.job_id for run in good))


def jensen_shannon(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """The distance between two mixes of classes: the root of the Jensen-Shannon divergence to base 2, from 0 to 1.

    Lin, "Divergence measures based on the Shannon entropy", IEEE Trans. Inf. Theory 37(1), 1991; that its root is a
    metric: Endres and Schindelin, IEEE Trans. Inf. Theory 49(7), 2003.

    Args:
        one, other: a weight above 0 a class; neither is empty.
    """
    total_one, total_other = sum(one.values()), sum(other.values())
    divergence = 0.0
    for name in {**one, **other}:
        p, q = one.get(name, 0.0) / total_one, other.get(name, 0.0) / total_other
        middle = (p + q) / 2
        divergence += sum(share * math.log2(share / middle) / 2 for share in (p, q) if share > 0)
    return math.sqrt(min(max(divergence, 0.0), 1.0))


def _findings(tonight: RunFigures, good: Sequence[RunFigures], limits: GateLimits) -> Iterator[Finding]:
    rates: tuple[tuple[str, float | None, _Figure, str], ...] = (
        ("empty_rate", limits.empty_rate_rise, lambda run: run.empty_rate, "of the pictures have nothing in them"),
        ("failed_rate", limits.failed_rate_rise, lambda run: run.failed_rate, "of the pictures failed"),
    )
    for gate, rise, figure, words in rates:
        found, expected = figure(tonight), _median(good, figure)
        if rise is not None and found is not None and expected is not None:
            limit = expected + rise
            message = f"{found:.1%} {words}, expected {expected:.1%}, at most {limit:.1%}"
            yield Finding(gate, found <= limit, found, expected, limit, message)
    yield from _objects(tonight, good, limits)
    yield from _class_mix(tonight, good, limits)
    yield from _speed(tonight, good, limits)


def _objects(tonight: RunFigures, good: Sequence[RunFigures], limits: GateLimits) -> Iterator[Finding]:
    found, expected = tonight.objects_per_image, _median(good, lambda run: run.objects_per_image)
    if limits.objects_change is not None and found is not None and expected is not None:
        low, high = expected * (1 - limits.objects_change), expected * (1 + limits.objects_change)
        limit = low if found < expected else high
        message = f"{found:.2f} objects a picture, expected {expected:.2f}, from {low:.2f} to {high:.2f}"
        yield Finding("objects_per_image", low <= found <= high, found, expected, limit, message)


def _class_mix(tonight: RunFigures, good: Sequence[RunFigures], limits: GateLimits) -> Iterator[Finding]:
    before: Counter[str] = Counter()
    for run in good:
        before.update(run.classes)
    if limits.class_distance is None or not sum(before.values()) or not sum(tonight.classes.values()):
        return
    found = jensen_shannon(tonight.classes, before)
    message = f"the class mix lies {found:.2f} away, at most {limits.class_distance:.2f}: {_moved(tonight, before)}"
    yield Finding("class_mix", found <= limits.class_distance, found, 0.0, limits.class_distance, message)


def _moved(tonight: RunFigures, before: Mapping[str, float]) -> str:
    """The classes whose shares moved most."""
    now, then = sum(tonight.classes.values()), sum(before.values())
    names = {**before, **tonight.classes}
    shares = {name: (before.get(name, 0) / then, tonight.classes.get(name, 0) / now) for name in names}
    most = sorted(shares, key=lambda name: -abs(shares[name][1] - shares[name][0]))[:3]
    return ", ".join(f"{name} {shares[name][0]:.0%} -> {shares[name][1]:.0%}" for name in most)


def _speed(tonight: RunFigures, good: Sequence[RunFigures], limits: GateLimits) -> Iterator[Finding]:
    timed = [run for run in good if run.computed >= limits.min_images]
    found, expected = tonight.images_per_second, _median(timed, lambda run: run.images_per_second)
    if tonight.computed < limits.min_images:
        return
    if limits.speed_share is not None and found is not None and expected is not None:
        limit = expected * limits.speed_share
        message = f"{found:.1f} images a second, expected {expected:.1f}, at least {limit:.1f}"
        yield Finding("speed", found >= limit, found, expected, limit, message)


def _median(runs: Sequence[RunFigures], figure: _Figure) -> float | None:
    found = [value for run in runs if (value := figure(run)) is not None]
    return median(found) if found else None
