"""A job that is filled part by part and runs once it is sealed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from jobstore.ids import new_id
from jobstore.schema import ItemRef, JobId
from jobstore.store import JobStore


@dataclass(frozen=True, slots=True)
class Draft:
    """The handle of one; made by `Producer.draft`."""

    job_id: JobId
    _store: JobStore = field(repr=False)
    _ring: Callable[[JobId], None] = field(repr=False)

    def append(self, items: Iterable[ItemRef], part_token: str | None = None) -> int:
        """Add items behind those that are there; give their number.

        Args:
            part_token: names this part, so that it may be sent again; None: it is sent once.

        Raises:
            InvalidJob: it was sealed, or has ended.
        """
        return self._store.append_items(self.job_id, items, part_token=part_token or new_id())

    def seal(self) -> JobId:
        """Let it run; give its id. Sealing it again changes nothing.

        Raises:
            InvalidJob: it has no items, or has ended.
        """
        self._store.seal(self.job_id)
        self._ring(self.job_id)
        return self.job_id
