"""One prediction as a measure takes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from jobstore.views import ResultRow


@dataclass(frozen=True, slots=True)
class Prediction:
    """A record, and the blob beside it where its task has one."""

    record: Mapping[str, Any]
    blob: bytes | None = None

    @classmethod
    def of(cls, row: ResultRow) -> Self:
        """An outcome's."""
        return cls(row.record or {}, row.blob)
