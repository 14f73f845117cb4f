"""How far each family is proven: family x task x backend, with the level that a test reached.

`reached.json` is written from a run of the marked tests (`python3 dev.py docs --families`), never by hand; a test
refuses a row that no marked test claims.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("reached.json")


class Level(StrEnum):
    """What a test showed, the least first."""

    LOADS = "loads"  # a package opens, and a picture gives a prediction of the task's type
    AGREES = "agrees"  # predictions equal those that independent code computes from the same pixels
    ACCURATE = "accurate"  # labelled data give the accuracy that was asked for


#: Words for people.
MEANINGS = {
    Level.LOADS: "loads",
    Level.AGREES: "agrees with reference",
    Level.ACCURATE: "accuracy on data",
}


@dataclass(frozen=True, slots=True, order=True)
class Reached:
    """One claim: this backend runs this task of this family as well as the level says."""

    family: str
    task: str
    backend: str
    level: Level


def highest(rows: Iterable[Reached]) -> tuple[Reached, ...]:
    """One row a family, task and backend, with its highest level; sorted."""
    order = list(Level)
    best: dict[tuple[str, str, str], Reached] = {}
    for row in rows:
        key = row.family, row.task, row.backend
        if key not in best or order.index(row.level) > order.index(best[key].level):
            best[key] = row
    return tuple(best[key] for key in sorted(best))


def unproven(claimed: Iterable[Reached], marked: Iterable[Reached]) -> list[Reached]:
    """Claims that no marked test reaches at their level or above."""
    order = list(Level)
    proven = {(row.family, row.task, row.backend): order.index(row.level) for row in highest(marked)}
    return [row for row in claimed if proven.get((row.family, row.task, row.backend), -1) < order.index(row.level)]


def read_reached(path: Path = FILE) -> tuple[Reached, ...]:
    """The rows that a run of the tests wrote."""
    data: list[Mapping[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return tuple(Reached(row["family"], row["task"], row["backend"], Level(row["level"])) for row in data)


def write_reached(rows: Iterable[Reached], path: Path = FILE) -> None:
    """Write the highest level of each, one row a line."""
    lines = (
        json.dumps({"family": row.family, "task": row.task, "backend": row.backend, "level": row.level.value})
        for row in highest(rows)
    )
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class FamilyRow:
    """A task of a family, with the level by backend; a backend that no test reached is absent."""

    family: str
    task: str
    levels: Mapping[str, Level]


def family_rows(rows: Sequence[Reached]) -> tuple[FamilyRow, ...]:
    """Every task of every family of ours, tested or not, in the order of their names."""
    from inference_engine.families import own_families, tasks_of

    return tuple(
        FamilyRow(family, task, {row.backend: row.level for row in rows if (row.family, row.task) == (family, task)})
        for family in own_families()
        for task in tasks_of(family)
    )


def backends_shown() -> tuple[str, ...]:
    """Columns of the table: every backend, in the order in which they are preferred."""
    from inference_engine.backends import known_backends
    from inference_engine.negotiation import BACKEND_ORDER

    return tuple(name for name in BACKEND_ORDER if name in known_backends())
