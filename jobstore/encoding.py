"""Between Python values and columns: JSON text, text that both databases take, the number of objects in a record."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import Any

import msgspec

from videos.options import Clip

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


def to_json(value: Any) -> str:
    """Give compact JSON; NaN and infinity, which JSON lacks, become null."""
    return _encoder.encode(value).decode()


def to_sorted_json(value: Any) -> str:
    """Give the same JSON for equal values, whatever order their names have: what hashes are made of."""
    return msgspec.json.encode(value, order="sorted").decode()


def to_json_or_none(value: Any) -> str | None:
    """Give JSON, and None (SQL's NULL) for None."""
    return None if value is None else to_json(value)


def from_json(text: str | None) -> Any:
    """Undo `to_json` and `to_json_or_none`."""
    return None if text is None else _decoder.decode(text)


def storable(text: str) -> str:
    """Make any text storable: PostgreSQL takes no NUL, and neither database takes half a surrogate pair."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def is_storable(text: str) -> bool:
    """Say whether both databases give the text back as it is."""
    return storable(text) == text


def clip_of(start_s: float | None, end_s: float | None) -> Clip | None:
    """Give the part of a video that two columns of an item stand for, None for a picture."""
    return None if start_s is None else Clip(start_s, end_s)


def count_objects(record: Mapping[str, Any] | None) -> int:
    """Count a record's objects: the length of its `confidence` list, 0 where it has none."""
    confidence = None if record is None else record.get("confidence")
    return len(confidence) if isinstance(confidence, Sized) else 0
