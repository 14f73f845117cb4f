"""A replay's results beside the original's, item by item: pictures as they are, videos frame by frame."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobstore.schema import OutcomeState
from producer.errors import NotComparable
from producer.judging.capsule.canonical import canonical, digest
from producer.judging.comparison import measure

if TYPE_CHECKING:
    from jobstore.views import ResultRow
    from producer.judging.capsule.contents import CapsuleInput

#: Pictures and frames that are listed.
SHOWN = 20


@dataclass(frozen=True, slots=True)
class ResultChange:
    """One picture or frame with another result.

    Attributes:
        disagreement: as `producer.judging.comparison` measures it; None where the original's record is not there any
            more, or only one of the two is a prediction.
        timestamp_s: of a video's frame, seconds after the first.
    """

    uri: str
    disagreement: float | None
    words: str
    timestamp_s: float | None = None


@dataclass(slots=True)
class Tally:
    """Counts pictures and frames.

    Attributes:
        max_disagreement: up to which another result is near.
        run: that were run again, or should have been.
        same, near, taken: equal; near enough; taken over from an earlier run.
    """

    max_disagreement: float
    run: int = 0
    same: int = 0
    near: int = 0
    taken: int = 0
    _changes: list[ResultChange] = field(default_factory=list)

    def add(self, expected: CapsuleInput, item: Sequence[ResultRow], before: Sequence[ResultRow]) -> None:
        """Count one item.

        Args:
            item: its rows in the replay: one of a picture; of a video what is said of it as a whole, and its frames.
            before: those of the original; others than the capsule speaks of prove nothing, and are passed over.
        """
        counted = len(item) - 1 if expected.clip is not None and len(item) > 1 else len(item)
        if all(row.state is OutcomeState.CACHED for row in item):
            self.run, self.taken = self.run + counted, self.taken + counted
        elif digest(item) == expected.result:
            self.run, self.same = self.run + counted, self.same + counted
        else:
            self._compare(item, before if digest(before) == expected.result else ())

    def farthest(self) -> list[ResultChange]:
        """Give what differs most, and before it what cannot be measured."""
        return heapq.nlargest(SHOWN, self._changes, key=_distance)

    def _compare(self, item: Sequence[ResultRow], before: Sequence[ResultRow]) -> None:
        """Pair an item's rows by their time: the same frame has the same one, whatever its number."""
        left = {_moment(row): row for row in before}
        for row in item:
            original = left.pop(_moment(row), None)
            if original is not None and canonical(original) == canonical(row):
                is_one = row.clip is None or row.frame > 0
                self.run, self.same = self.run + is_one, self.same + is_one
            else:
                self._note(_change(row, original))
        for row in left.values():
            self._note(ResultChange(row.uri, None, "the frame is missing now", row.timestamp_s))

    def _note(self, change: ResultChange) -> None:
        self.run += 1
        self.near += change.disagreement is not None and change.disagreement <= self.max_disagreement
        self._changes.append(change)


def _distance(change: ResultChange) -> float:
    return 2.0 if change.disagreement is None else change.disagreement


def _moment(row: ResultRow) -> float | None:
    """The time of a frame; of a picture, and of what is said of a video as a whole, None."""
    return row.timestamp_s if row.frame else None


def _change(row: ResultRow, original: ResultRow | None) -> ResultChange:
    at = _moment(row)
    if original is None:
        return ResultChange(row.uri, None, "another result; the original's record is not in this store", at)
    if not row.holds_prediction or not original.holds_prediction:
        was, now = (each.error.code if each.error else each.state.value for each in (original, row))
        whole = "what is said of the video as a whole is different"
        return ResultChange(row.uri, None, f"{was} -> {now}" if was != now else whole, at)
    try:
        difference = measure(original, row)
    except NotComparable as error:
        return ResultChange(row.uri, None, str(error), at)
    words = [f"{count} {kind}" for kind, count in Counter(each.kind for each in difference.changes).items()]
    words += [f"{name} {value:.3g}" for name, value in difference.figures.items()]
    return ResultChange(row.uri, difference.disagreement, ", ".join(words), at)
