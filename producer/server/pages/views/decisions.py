"""Why this backend: the decisions of a job's workers as tables, those that say the same told once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from producer.server.pages.words import DASH

if TYPE_CHECKING:
    from jobstore.schema import DecisionRow

#: What stands for a reason where there is none against it.
_FIRST = "comes first of those that run here"
_SECOND = "runs here too; another comes before it"


@dataclass(frozen=True, slots=True)
class Choice:
    """One candidate with its verdict; reasons are `(code, words, hint)`, the code empty where none is against it."""

    package: str
    backend: str
    device: str
    precision: str
    verdict: str
    reasons: tuple[tuple[str, str, str], ...]
    images_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision and the workers that came to it.

    Attributes:
        chosen: in words, such as `digits-onnx-fp32 on onnx fp32 (cpu)`.
        rejected: how many candidates could not run.
    """

    chosen: str
    max_batch_size: int
    strategy: str
    load_ms: float
    versions: Mapping[str, str]
    choices: tuple[Choice, ...]
    workers: tuple[str, ...] = ()
    digest: str = ""
    machine: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rejected(self) -> int:
        """How many candidates could not run."""
        return sum(choice.verdict == "rejected" for choice in self.choices)


def decided(rows: Sequence[DecisionRow]) -> tuple[Decided, ...]:
    """Give the different decisions, the first first."""
    groups: dict[tuple[object, ...], list[DecisionRow]] = {}
    for row in rows:
        key = (row.package_digest, row.backend, row.device, row.quantization, repr(row.candidates))
        groups.setdefault(key, []).append(row)
    return tuple(_decided(group) for group in groups.values())


def choices_of(candidates: Sequence[Mapping[str, Any]]) -> tuple[Choice, ...]:
    """Give the candidates of a record in its order, which is best first."""
    return tuple(_choice(candidate) for candidate in candidates)


def _decided(rows: Sequence[DecisionRow]) -> Decided:
    first = rows[0]
    return Decided(
        chosen=f"{first.package_id} by {first.backend} {first.quantization} on {first.device}",
        max_batch_size=first.max_batch_size,
        strategy=first.strategy,
        load_ms=max(row.load_ms for row in rows),
        versions=first.versions,
        choices=choices_of(first.candidates),
        workers=tuple(dict.fromkeys(str(row.worker_id) for row in rows)),
        digest=first.package_digest,
        machine=first.machine,
    )


def _choice(candidate: Mapping[str, Any]) -> Choice:
    verdict = str(candidate.get("verdict", ""))
    found = tuple(
        (str(reason.get("code", "")), str(reason.get("message", "")), str(reason.get("hint", "")))
        for reason in candidate.get("reasons") or ()
    )
    nothing = ("", _FIRST if verdict == "chosen" else _SECOND, "")
    measurement = candidate.get("measurement") or {}
    return Choice(
        package=str(candidate.get("package_id", "")),
        backend=str(candidate.get("backend") or DASH),
        device=str(candidate.get("device") or DASH),
        precision=str(candidate.get("quantization", "")),
        verdict=verdict,
        reasons=found or (nothing,),
        images_per_second=measurement.get("images_per_s"),
    )
