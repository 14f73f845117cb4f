"""What an exporter takes and gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from jobstore.schema import OutcomeState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from jobstore.schema import DecisionRow
    from jobstore.views import JobStatus, ResultRow

#: Outcomes that carry a record.
RECORDED = frozenset({OutcomeState.OK, OutcomeState.CACHED})


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What was written.

    Attributes:
        path: the file, or the folder of a format with many files.
        items: outcomes that are in the export.
        objects: predicted objects in it.
        files: every file written, the main one first.
        problems: words for people on what is missing from it, for example a picture that could not be read again.
    """

    format: str
    path: Path
    items: int
    objects: int
    files: tuple[Path, ...]
    problems: tuple[str, ...] = ()


class Exporter(Protocol):
    """One format."""

    def __call__(
        self, job: JobStatus, rows: Iterable[ResultRow], decisions: Mapping[str, DecisionRow], dest: Path
    ) -> ExportSummary:
        """Write `rows` in their order below the folder `dest`, which is made if need be.

        Raises:
            ExportFailed: nothing of this export is visible then.
        """
        ...


def count_objects(row: ResultRow) -> int:
    """Boxes or masks of a record; 0 for records without any."""
    record = row.record or {}
    return len(record.get("xyxy") or record.get("masks") or ())
