"""The gallery: the next pictures of a job that have something to show, found by reading a bounded number of rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from producer.server.pages.views.overlay import Filter, Overlay, mask_pixels, overlay_of

if TYPE_CHECKING:
    from jobstore.views import ResultRow

#: Pictures a page, rows that are looked at for them, and rows of one read.
PICTURES, MOST_ROWS, ROWS_A_READ = 24, 240, 48
#: Pixels of masks that are read for one page: 0.3 s of one core.
_MOST_MASK_PIXELS = 100_000_000

Place = tuple[int, int]  # item and frame
#: Gives the next outcomes after a place.
ReadRows = Callable[[Place, int], Sequence["ResultRow"]]
#: Says whether pages may have the picture of an outcome.
CanShow = Callable[["ResultRow"], bool]


@dataclass(frozen=True, slots=True)
class Figure:
    """One picture.

    Attributes:
        is_shown: pages may have the picture; of others they have the address alone.
    """

    idx: int
    frame: int
    uri: str
    timestamp_s: float | None
    is_cached: bool
    is_shown: bool
    overlay: Overlay


@dataclass(frozen=True, slots=True)
class Gallery:
    """One page of pictures.

    Attributes:
        next: the place after which the next page begins; None: this is the last.
        rows: that were looked at.
    """

    figures: tuple[Figure, ...]
    wanted: Filter
    next: Place | None
    rows: int


def gallery_of(read: ReadRows, after: Place, wanted: Filter, can_show: CanShow) -> Gallery:
    """Give the next pictures of which the record holds a prediction, and with a class asked for, one of it."""
    figures: list[Figure] = []
    pixels, rows, place = 0, 0, after
    while len(figures) < PICTURES and rows < MOST_ROWS:
        page = read(place, ROWS_A_READ)
        for row in page:
            rows, place = rows + 1, (row.idx, row.frame)
            if row.record is None or not row.holds_prediction:
                continue
            overlay, pixels = _overlay(row, wanted, pixels)
            if overlay.shown or not wanted.class_name:
                figures.append(figure_of(row, overlay, is_shown=can_show(row)))
            if len(figures) == PICTURES:
                return Gallery(tuple(figures), wanted, place, rows)
        if len(page) < ROWS_A_READ:
            return Gallery(tuple(figures), wanted, None, rows)
    return Gallery(tuple(figures), wanted, place, rows)


def figure_of(row: ResultRow, overlay: Overlay, *, is_shown: bool) -> Figure:
    """Give a picture with what is drawn over it."""
    return Figure(row.idx, row.frame, row.uri, row.timestamp_s, row.state == "cached", is_shown, overlay)


def _overlay(row: ResultRow, wanted: Filter, pixels: int) -> tuple[Overlay, int]:
    record = row.record or {}
    try:
        spent = pixels + mask_pixels(record)
    except (ValueError, KeyError, TypeError):
        spent = pixels  # the overlay says what is wrong
    is_affordable = spent <= _MOST_MASK_PIXELS
    return overlay_of(record, wanted, with_masks=is_affordable), spent if is_affordable else pixels
