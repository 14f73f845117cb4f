"""One form of a result, so that equal results have equal hashes whoever writes them. Pure.

JSON in UTF-8 with sorted keys and the shortest decimals: the frame, the record, the sha256 of the blob, the code of the
error. A result that was taken over from an earlier run is the same as one that was computed. Not in it: times,
attempts, words of errors, and where the picture lies.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from jobstore.schema import OutcomeState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobstore.views import ResultRow

_encode = msgspec.json.Encoder(order="sorted").encode


def canonical(row: ResultRow) -> bytes:
    """One result's form, with a line feed."""
    state = OutcomeState.OK if row.state is OutcomeState.CACHED else row.state
    content = {
        "frame": row.frame,
        "state": state.value,
        "record": row.record,
        "blob": None if row.blob is None else hashlib.sha256(row.blob).hexdigest(),
        "error": None if row.error is None else row.error.code,
    }
    return _encode(content) + b"\n"


def digest(rows: Iterable[ResultRow]) -> str:
    """The sha256 of an item's results, in the order of its frames."""
    return hashlib.sha256(b"".join(map(canonical, rows))).hexdigest()
