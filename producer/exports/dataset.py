"""What is exported: a job, its rows as often as they are asked for, and what must be known of all before the first."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from producer.exports.naming import CommonRoot
from producer.exports.options import EVERYTHING, ExportOptions
from producer.exports.records import UNNAMED, Kind, kinds_of, selected

if TYPE_CHECKING:
    from jobstore.schema import DecisionRow
    from jobstore.views import JobStatus, ResultRow


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture, or one frame of a video, with what was found in it.

    Attributes:
        name: its path below the common root; `clip.mp4@12` is the twelfth frame of `clip.mp4`.
        record: as it is written, which is the row's own without the objects that are not wanted.
    """

    name: str
    row: ResultRow
    record: Mapping[str, Any]

    @property
    def wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        height, width = self.record["image_hw"]
        return width, height


@dataclass(slots=True)
class Survey:
    """What one look at all rows tells; its size does not grow with their number.

    Attributes:
        root: the deepest folder above all items, whatever became of them.
        states: outcomes by state.
        class_names: by class id: the model's, or those of the records where no model has names.
        skeletons: names and lines of key points, by class id; empty without key points.
        kinds: everything that some record has.
    """

    root: CommonRoot
    class_names: dict[int, str]
    states: Counter[str] = field(default_factory=Counter)
    skeletons: tuple[Mapping[str, Any], ...] = ()
    kinds: frozenset[Kind] = frozenset()

    def add(self, row: ResultRow) -> None:
        """Take one more row into account."""
        self.root.add(row.uri)
        self.states[row.state.value] += 1
        if row.record is None or not row.holds_prediction:
            return
        self.kinds |= kinds_of(row.record)
        self.skeletons = tuple(row.record.get("skeletons") or self.skeletons)
        names = row.record.get("class_name")
        if names:
            self.class_names |= dict(zip(row.record["class_id"], names, strict=True))
        elif row.record.get("masks"):
            self.class_names.setdefault(0, UNNAMED)


@dataclass(frozen=True)
class Dataset:
    """A job as exporters see it.

    Attributes:
        read: gives the job's rows, in the order of items and frames, from the first one on each time it is called.
    """

    job: JobStatus
    decisions: Mapping[str, DecisionRow]
    read: Callable[[], Iterable[ResultRow]]
    options: ExportOptions = EVERYTHING

    def rows(self) -> Iterator[ResultRow]:
        """Outcomes of the wanted states, their records without the objects that are not wanted."""
        for row in self.read():
            if not self.options.states or row.state in self.options.states:
                yield row if row.record is None else self._filtered(row)

    def pictures(self) -> Iterator[Picture]:
        """The rows that hold a prediction, named. Reads all rows once before the first, to know the common root."""
        return filter(None, map(self.named, self.rows()))

    def named(self, row: ResultRow) -> Picture | None:
        """A row as a picture; None if it holds no prediction."""
        if not row.holds_prediction or row.record is None:
            return None
        return Picture(self.survey.root.relative(row.uri, row.frame), row, row.record)

    def first_record(self) -> Mapping[str, Any] | None:
        """A record to judge formats by, since those of a job are of one task; None: there is none yet."""
        return next((row.record for row in self.rows() if row.holds_prediction and row.record is not None), None)

    @cached_property
    def survey(self) -> Survey:
        """Read all rows once; kept, so that several formats share the reading."""
        survey = Survey(CommonRoot(), dict(enumerate(self.job.class_names or ())))
        for row in self.read():
            survey.add(row)
        return survey

    def _filtered(self, row: ResultRow) -> ResultRow:
        record = selected(row.record or {}, self.options)
        return row if record is row.record else dataclasses.replace(row, record=record)
