"""Cursors of lists: where a page ended, as text that callers hand back without looking into it."""

from __future__ import annotations

import base64
from typing import Annotated, TypeVar

import msgspec
from fastapi import Query

from jobstore.encoding import is_storable
from producer.server.errors import CursorInvalid, FieldProblem, RequestInvalid
from producer.wire import encode

T = TypeVar("T")

PageLimit = Annotated[int, Query(ge=1, le=500, description="Rows at most.")]
Cursor = Annotated[str | None, Query(max_length=512, description="`next` of the page before.")]


def cursor_of(place: object) -> str:
    """Give the cursor of a place, which is JSON's types."""
    return base64.urlsafe_b64encode(encode(place)).decode("ascii").rstrip("=")


def place_of(cursor: str, kind: type[T]) -> T:
    """Give the place of a cursor.

    Raises:
        CursorInvalid: it is none of ours.
    """
    try:
        place = msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=kind)
    except ValueError as error:  # no base64, no JSON, or JSON of another kind
        raise CursorInvalid("this is no cursor: expected `next` of the page before, unchanged") from error
    return place


def storable_text(name: str, value: str) -> str:
    """Give a parameter's text as it is.

    Raises:
        RequestInvalid: no database can hold it.
    """
    if not is_storable(value):
        raise refused(name, "expected text without NUL")
    return value


def refused(name: str, words: str) -> RequestInvalid:
    """Give the error of one query parameter."""
    return RequestInvalid(f"the parameter {name} is not as declared: {words}", [FieldProblem(f"query/{name}", words)])
