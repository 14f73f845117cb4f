"""A job whose items come part by part, and which runs once it is sealed."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from producer.job import Job
from producer.request import JobOptions, items_of
from producer.sources import SourceReport

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from jobstore.schema import ItemRef
    from producer.sources import Source


@dataclass(frozen=True, slots=True)
class Draft:
    """A job that takes more items. As a context manager it is sealed at the end, and cancelled by an exception."""

    job: Job
    options: JobOptions

    def add(self, sources: Source | ItemRef | Iterable[Source | ItemRef], *, part_token: str | None = None) -> int:
        """Add the items of sources behind those that are there, and give their number.

        Args:
            part_token: names this part, so that a program that runs again adds it once; None: it is another part.

        Raises:
            InvalidJob: it was sealed, or has ended.
            SourceInvalid, UploadRefused: nothing was added.
        """
        gateway = self.job.gateway
        items = gateway.carry(items_of(sources, self.options, SourceReport()))
        return gateway.append_items(self.job.id, items, part_token=part_token or uuid.uuid4().hex)

    def seal(self) -> Job:
        """Let it run; a second time changes nothing.

        Raises:
            InvalidJob: it has no items, or has ended.
        """
        self.job.gateway.seal(self.job.id)
        return self.job

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self.seal()
        else:
            self.job.cancel()
