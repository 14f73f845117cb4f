"""Parquet manifests, a few thousand rows at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, BinaryIO

from producer.errors import ManifestInvalid, SourceUnreadable
from producer.sources.kinds import URI_KEYS

if TYPE_CHECKING:
    from pyarrow import Schema

_BATCH_ROWS = 4096
#: How JSON has what it does not know; others of Parquet's values are its own.
_WRITERS: Mapping[type, Callable[[Any], Any]] = {
    datetime: datetime.isoformat,  # before `date`, which it is one of
    date: date.isoformat,
    time: time.isoformat,
    Decimal: str,
    timedelta: timedelta.total_seconds,
}


def read_parquet(name: str, file: BinaryIO) -> Iterator[tuple[int, str, Mapping[str, Any] | None]]:
    """Row number from 1, the item as written, and the other columns as JSON values.

    Dates and times become ISO 8601 texts, decimals texts, durations seconds, and what is no number is None.

    Raises:
        ManifestInvalid: naming the row, or the column that holds bytes.
        SourceUnreadable: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise SourceUnreadable(f"{name}: pyarrow reads Parquet: pip install 'nightshift[parquet]'") from error
    row = 0
    try:
        table = ParquetFile(file)
        key = _key(name, table.schema_arrow)
        for batch in table.iter_batches(batch_size=_BATCH_ROWS):
            for values in batch.to_pylist():
                row += 1
                uri = values.pop(key)
                if not isinstance(uri, str):
                    raise ManifestInvalid(name, row, f"column {key} is empty; expected a path or URI")
                yield row, uri, {column: _plain(value) for column, value in values.items()} or None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ManifestInvalid(name, row, f"not Parquet that can be read: {error}") from error


def _key(name: str, schema: Schema) -> str:
    """The column that holds the item, after a look at all of them."""
    by_lower = {column.lower(): column for column in schema.names}
    if len(by_lower) != len(schema.names):
        raise ManifestInvalid(name, 0, f"two columns have the same name: {', '.join(schema.names)[:200]}")
    for column in schema:
        if "binary" in str(column.type):  # also within a list or a struct
            words = f"column {column.name} holds bytes; leave it out: results keep the other columns as JSON"
            raise ManifestInvalid(name, 0, words)
    for key in URI_KEYS:
        if key in by_lower:
            return str(by_lower[key])
    found = ", ".join(schema.names)[:200]
    raise ManifestInvalid(name, 0, f"found the columns {found}; expected one of {', '.join(URI_KEYS)}")


def _plain(value: Any) -> Any:
    """The value as JSON knows it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    write = next((write for kind, write in _WRITERS.items() if isinstance(value, kind)), None)
    return value if write is None else write(value)
