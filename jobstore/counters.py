"""Counting outcomes: one small sum that shards and jobs carry alike."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from jobstore.schema import OutcomeState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import ColumnElement, RowMapping, Table


@dataclass(frozen=True, slots=True)
class Counters:
    """Items by how they ended, the objects found in them, and the frames of those that are videos."""

    ok: int = 0
    cached: int = 0
    failed: int = 0
    skipped: int = 0
    objects: int = 0
    frames: int = 0

    def __add__(self, other: Counters) -> Counters:
        return Counters(*(getattr(self, name) + getattr(other, name) for name in NAMES))

    @property
    def ended(self) -> int:
        """Items that have an outcome."""
        return self.ok + self.cached + self.failed + self.skipped


NAMES = tuple(Counters.__dataclass_fields__)


def counters_of(row: RowMapping | Mapping[str, Any]) -> Counters:
    """Read the counters of a row of `jobs` or `shards`."""
    return Counters(*(row[name] or 0 for name in NAMES))


def count_states(outcomes: Iterable[tuple[OutcomeState, int, int]]) -> Counters:
    """Count `(state, frame, objects)`: an item once, by its frame 0; objects in every frame; frames from 1 on."""
    states: Counter[OutcomeState] = Counter()
    objects = frames = 0
    for state, frame, found in outcomes:
        objects += found
        frames += frame > 0
        states[state] += frame == 0
    return Counters(
        states[OutcomeState.OK],
        states[OutcomeState.CACHED],
        states[OutcomeState.FAILED],
        states[OutcomeState.SKIPPED],
        objects,
        frames,
    )


def added(table: Table, more: Counters) -> dict[str, ColumnElement[int]]:
    """Give the values of an UPDATE that adds `more` to the row's own counters."""
    return {name: table.c[name] + amount for name, amount in asdict(more).items()}
