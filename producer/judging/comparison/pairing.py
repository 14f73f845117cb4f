"""The rows of two jobs, two by two: of one picture, told by its URI, or by its bytes where it has another name."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from jobstore.schema import OutcomeState
from jobstore.views import ResultRow

if TYPE_CHECKING:
    from typing import Self

#: A row of the first job and its like in the second; one of them is None where the other job has no such picture.
RowPair: TypeAlias = tuple[ResultRow | None, ResultRow | None]
_SPOOL_BYTES = 2 << 20


def pair_rows(rows_a: Iterable[ResultRow], rows_b: Iterable[ResultRow]) -> Iterator[RowPair]:
    """Pair rows whatever the order of either job; those without a partner come last.

    Left out are items that were never tried, and what is said of a video as a whole unless it failed. Both jobs are
    read side by side. A row waits for its partner on disk, so that memory holds an entry of some hundred
    bytes for each waiting row: none if both jobs have the same items in the same order.
    """
    with _Waiting() as waiting_a, _Waiting() as waiting_b:
        left, right = filter(_is_paired, rows_a), filter(_is_paired, rows_b)
        row_a, row_b = next(left, None), next(right, None)
        while row_a is not None or row_b is not None:
            if row_a is not None and row_b is not None and _by_uri(row_a) == _by_uri(row_b):
                yield row_a, row_b
            else:
                if row_a is not None:
                    yield from _meet(row_a, waiting_a, waiting_b)
                if row_b is not None:
                    yield from ((a, b) for b, a in _meet(row_b, waiting_b, waiting_a))
            row_a, row_b = next(left, None), next(right, None)
        yield from _moved(waiting_a, waiting_b)


def _is_paired(row: ResultRow) -> bool:
    is_whole_video = row.clip is not None and not row.frame
    return row.state is OutcomeState.FAILED or (row.state is not OutcomeState.SKIPPED and not is_whole_video)


def _meet(row: ResultRow, mine: _Waiting, others: _Waiting) -> Iterator[RowPair]:
    partner = others.take(_by_uri(row))
    if partner is not None:
        yield row, partner
    else:
        mine.put(row)


def _moved(waiting_a: _Waiting, waiting_b: _Waiting) -> Iterator[RowPair]:
    """What is left, first by content, then alone."""
    for row, content in waiting_a.rest():
        yield row, waiting_b.take_content(content, row.frame)
    for row, _ in waiting_b.rest():
        yield None, row


def _by_uri(row: ResultRow) -> tuple[str, int]:
    return row.uri, row.frame


@dataclass(frozen=True, slots=True)
class _Place:
    start: int
    size: int
    content: str | None


class _Waiting:
    """Rows that wait for their partners, on disk once they are many; of one URI, the first goes first."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(_SPOOL_BYTES)  # noqa: SIM115 - closed by __exit__
        self._places: dict[tuple[str, int], list[_Place]] = {}
        self._encode = msgspec.msgpack.Encoder().encode
        self._decoder = msgspec.msgpack.Decoder(ResultRow)
        self._contents: dict[tuple[str, int], tuple[str, int]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def put(self, row: ResultRow) -> None:
        data = self._encode(row)
        start = self._file.seek(0, os.SEEK_END)
        self._file.write(data)
        self._places.setdefault(_by_uri(row), []).append(_Place(start, len(data), row.content))

    def take(self, key: tuple[str, int]) -> ResultRow | None:
        """The row of a URI and frame."""
        if not (places := self._places.get(key)):
            return None
        place = places.pop(0)
        if not places:
            del self._places[key]
        return self._read(place)

    def rest(self) -> Iterator[tuple[ResultRow, str | None]]:
        """All that wait, with their contents."""
        for places in self._places.values():
            for place in places:
                yield self._read(place), place.content

    def _read(self, place: _Place) -> ResultRow:
        self._file.seek(place.start)
        return self._decoder.decode(self._file.read(place.size))

    def take_content(self, content: str | None, frame: int) -> ResultRow | None:
        """A row of the same bytes; nothing is put from the first such call on."""
        if self._contents is None:
            listed = ((places[0].content, key) for key, places in self._places.items())
            self._contents = {(found, key[1]): key for found, key in listed if found is not None}
        key = None if content is None else self._contents.pop((content, frame), None)
        return None if key is None else self.take(key)
