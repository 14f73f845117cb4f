"""Manifests: CSV with a header, JSON Lines, a plain list, or Parquet; read line by line, never as a whole.

Relative paths are relative to the manifest. Whether a file exists is not asked: a hundred thousand questions to a
network disk take minutes, and a missing file is one item's typed failure on the worker.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, TextIO

from fetching.policy import has_scheme
from jobstore.schema import ItemRef
from producer.errors import ManifestInvalid, SourceInvalid, SourceUnreadable
from producer.sources.checking import check_uri
from producer.sources.kinds import URI_KEYS, SourceOptions, SourceReport, to_uri
from producer.sources.parquet import read_parquet
from producer.sources.parts import items_of
from producer.sources.selecting import is_named

MANIFEST_SUFFIXES = (".csv", ".jsonl", ".ndjson", ".txt", ".parquet")
_MAX_LINE_CHARS = 1 << 20
_SHOWN_CHARS = 60

#: Line or row number, the item as written, and the rest of its line.
_Entry = tuple[int, str, Mapping[str, Any] | None]


def read_manifest(path: str, options: SourceOptions, report: SourceReport) -> Iterator[ItemRef]:
    """The items of a manifest, in its order.

    Raises:
        ManifestInvalid: naming file and line, what was found and what was expected.
    """
    folder = os.path.dirname(path)  # noqa: PTH120
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            yield from read_items(path, path, file, lambda written: _beside(folder, written), options, report)
    except OSError as error:
        raise SourceUnreadable(f"{path} cannot be read: {error.strerror}") from error


def read_items(
    name: str,
    ending: str,
    file: BinaryIO,
    resolve: Callable[[str], str],
    options: SourceOptions,
    report: SourceReport,
) -> Iterator[ItemRef]:
    """The items of an open manifest.

    Args:
        name: shown to people.
        ending: what ends like the manifest's name.
        resolve: from an item as written to its URI.

    Raises:
        ManifestInvalid: naming file and line, what was found and what was expected.
    """
    suffix = os.path.splitext(ending)[1].lower()  # noqa: PTH122
    for line, written, metadata in _entries(name, suffix, file):
        uri = _checked(name, line, written, resolve, options)
        if is_named(uri.partition("://")[2] or uri, options):
            yield from items_of(uri, options, report, metadata)
        else:
            report.unselected += 1


def _entries(name: str, suffix: str, file: BinaryIO) -> Iterator[_Entry]:
    if suffix == ".parquet":
        yield from read_parquet(name, file)
        return
    with io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        yield from _READERS[suffix](name, text)


def _checked(name: str, line: int, written: str, resolve: Callable[[str], str], options: SourceOptions) -> str:
    if not written:
        raise ManifestInvalid(name, line, "the item is empty; expected a path or URI")
    if "\n" in written or "\r" in written:
        raise ManifestInvalid(name, line, f"{_show(written)} holds a line break; expected a path or URI")
    try:
        uri = resolve(written)
        check_uri(uri, options.policy)
    except SourceInvalid as error:
        raise ManifestInvalid(name, line, str(error)) from error
    return uri


def _beside(folder: str, written: str) -> str:
    """An item of a manifest on this machine."""
    return written if has_scheme(written) else to_uri(os.path.normpath(os.path.join(folder, written)))  # noqa: PTH118


def _lines(path: str, file: TextIO) -> Iterator[str]:
    """Lines with their ends, none longer than a mebibyte."""
    number = 0
    while True:
        number += 1
        try:
            line = file.readline(_MAX_LINE_CHARS)
        except UnicodeDecodeError as error:
            raise ManifestInvalid(
                path, number, f"byte {error.object[error.start]:#04x} is not UTF-8 (near this line); save it as UTF-8"
            ) from error
        if len(line) == _MAX_LINE_CHARS and not line.endswith("\n"):
            raise ManifestInvalid(path, number, f"the line is longer than {_MAX_LINE_CHARS} characters")
        if not line:
            return
        if "\0" in line:
            raise ManifestInvalid(path, number, "found a zero byte, which no text has; save the file as UTF-8")
        yield line


def _read_csv(path: str, file: TextIO) -> Iterator[_Entry]:
    reader = csv.reader(_lines(path, file), strict=True)
    try:
        header = next((row for row in reader if row), None)
        if header is None:
            return
        names, key = _read_header(path, reader.line_num, header)
        for row in reader:
            if not row:
                continue
            if len(row) != len(names):
                raise ManifestInvalid(path, reader.line_num, f"{len(row)} fields; expected {len(names)} as in line 1")
            metadata = {name: value for name, value in zip(names, row, strict=True) if name and name != key}
            yield reader.line_num, row[names.index(key)].strip(), metadata or None
    except csv.Error as error:
        raise ManifestInvalid(path, reader.line_num, f"not CSV: {error}; is a quote left open?") from error


def _read_header(path: str, line: int, header: list[str]) -> tuple[list[str], str]:
    """Column names, and the one that holds the item; a nameless column (pandas' index) is dropped."""
    names = [name.strip() for name in header]
    by_lower = {name.lower(): name for name in names if name}
    if len(by_lower) != sum(bool(name) for name in names):
        raise ManifestInvalid(path, line, f"two columns have the same name: {_show(','.join(names))}")
    for key in URI_KEYS:
        if key in by_lower:
            return names, by_lower[key]
    raise ManifestInvalid(
        path,
        line,
        f"found the columns {_show(','.join(names))}; expected one of {', '.join(URI_KEYS)}, comma separated",
    )


def _read_json_lines(path: str, file: TextIO) -> Iterator[_Entry]:
    for number, line in enumerate(_lines(path, file), 1):
        if line.strip():
            yield number, *_read_json_line(path, number, line)


def _read_json_line(path: str, number: int, line: str) -> tuple[str, Mapping[str, Any] | None]:
    try:
        value = json.loads(line, parse_constant=_refuse_constant, object_pairs_hook=_unique)
        if "\\u0000" in line:
            raise ValueError("a zero byte, which no database column holds")  # noqa: TRY301 - one message for all faults
        if "\\u" in line:
            json.dumps(value, ensure_ascii=False).encode()  # a lone half of a surrogate pair fails here
    except (ValueError, RecursionError) as error:
        raise ManifestInvalid(path, number, f"not JSON: {error}; found {_show(line)}") from error
    if isinstance(value, str):
        return value, None
    if not isinstance(value, dict):
        raise ManifestInvalid(path, number, f"found {_show(line)}; expected an object or a text")
    for key in URI_KEYS:
        if isinstance(value.get(key), str):
            uri = value.pop(key)
            return uri, value or None
    raise ManifestInvalid(path, number, f"found {_show(line)}; expected one of {', '.join(URI_KEYS)} with a text")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("two keys of one object are the same")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")


def _read_list(path: str, file: TextIO) -> Iterator[_Entry]:
    for number, line in enumerate(_lines(path, file), 1):
        written = line.strip()
        if written and not written.startswith("#"):
            yield number, written, None


def _show(text: str) -> str:
    text = text.strip()
    return repr(text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "...")


_READERS: Mapping[str, Callable[[str, TextIO], Iterator[_Entry]]] = {
    ".csv": _read_csv,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".txt": _read_list,
}
