"""Which backend would run each model on each class of hardware, and why nothing does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from producer.gateway import MeantMachine
from producer.server.pages.views.decisions import Choice, choices_of


@dataclass(frozen=True, slots=True)
class Verdict:
    """One model on one class; `chosen` is None where nothing runs, and `why` says why then."""

    hardware: str
    chosen: Choice | None
    choices: tuple[Choice, ...]
    why: str = ""


@dataclass(frozen=True, slots=True)
class ModelLine:
    """One model."""

    model: str
    task: str
    classes: tuple[str, ...]
    packages: tuple[str, ...]
    verdicts: tuple[Verdict, ...]


def model_lines(
    models: Sequence[Mapping[str, Any]],
    machines: Mapping[str, MeantMachine],
    explain: Callable[[str, MeantMachine], Sequence[Mapping[str, Any]]],
) -> tuple[ModelLine, ...]:
    """Give a line a model.

    Args:
        machines: by class of hardware, that of its workers.
        explain: gives the candidates of a model on a machine; an error of ours, which has a `code`, is the verdict.
    """
    return tuple(
        ModelLine(
            model=str(found["model"]),
            task=str(found.get("task") or "unknown"),
            classes=tuple(map(str, found.get("classes") or ())),
            packages=tuple(map(_name, found.get("packages") or ())),
            verdicts=tuple(_verdict(str(found["model"]), *each, explain) for each in machines.items()),
        )
        for found in models
    )


def _verdict(
    model: str,
    hardware: str,
    machine: MeantMachine,
    explain: Callable[[str, MeantMachine], Sequence[Mapping[str, Any]]],
) -> Verdict:
    try:
        choices = choices_of(explain(model, machine))
    except Exception as error:
        if not hasattr(error, "code"):
            raise
        return Verdict(hardware, None, (), str(error))
    chosen = next((choice for choice in choices if choice.verdict == "chosen"), None)
    why = "; ".join(dict.fromkeys(words for choice in choices for _, words, _ in choice.reasons))
    return Verdict(hardware, chosen, choices, "" if chosen is not None else why or "no package can be opened there")


def _name(package: object) -> str:
    return str(package.get("package_id", "")) if isinstance(package, Mapping) else str(package)
