"""Manifests: CSV with a header, JSON Lines, or a plain list; read line by line, never as a whole.

Relative paths are relative to the manifest. Whether a file exists is not asked: a hundred thousand questions to a
network disk take minutes, and a missing file is one item's typed failure on the worker.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TextIO

from jobstore.schema import ItemRef
from producer.errors import ManifestInvalid, SourceUnreadable, SourceUnsupported
from producer.sources.kinds import SourceOptions, SourceReport, to_uri
from producer.sources.parts import items_of

#: Names of the column or key that holds the item, best first; letters' case does not matter.
URI_KEYS = ("uri", "path", "image", "url", "file_name")
MANIFEST_SUFFIXES = (".csv", ".jsonl", ".ndjson", ".txt")
_MAX_LINE_CHARS = 1 << 20
_SHOWN_CHARS = 60

#: Line number, the item as written, and the rest of its line.
_Entry = tuple[int, str, Mapping[str, Any] | None]


def read_manifest(path: str, options: SourceOptions, report: SourceReport) -> Iterator[ItemRef]:
    """The items of a manifest, in its order.

    Raises:
        ManifestInvalid: naming file and line, what was found and what was expected.
    """
    read = _READERS[os.path.splitext(path)[1].lower()]  # noqa: PTH122
    folder = os.path.dirname(path)  # noqa: PTH120
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:  # noqa: PTH123
            for line, written, metadata in read(path, file):
                yield from items_of(_resolve(path, line, written, folder, options), options, report, metadata)
    except OSError as error:
        raise SourceUnreadable(f"{path} cannot be read: {error.strerror}") from error


def check_scheme(uri: str, options: SourceOptions) -> None:
    """Refuse a URI that no worker reads.

    Raises:
        SourceUnsupported: naming the scheme.
    """
    scheme = uri.partition("://")[0].lower()
    if scheme not in options.schemes:
        known = ", ".join(sorted(f"{name}://" for name in options.schemes))
        raise SourceUnsupported(f"{uri[:200]}: {scheme}:// is not read; expected a path or {known}. Download it first")


def _resolve(path: str, line: int, written: str, folder: str, options: SourceOptions) -> str:
    if not written:
        raise ManifestInvalid(path, line, "the item is empty; expected a path or URI")
    if "\n" in written:
        raise ManifestInvalid(path, line, f"{_show(written)} holds a line break; expected a path or URI")
    if "://" in written:
        try:
            check_scheme(written, options)
        except SourceUnsupported as error:
            raise ManifestInvalid(path, line, str(error)) from error
        return written
    return to_uri(os.path.normpath(os.path.join(folder, written)))  # noqa: PTH118


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
        value = json.loads(line, parse_constant=_refuse_constant)
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
