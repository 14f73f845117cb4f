"""Glob patterns, streamed: `glob.glob` holds every name, and `iglob` gives them in the disk's order."""

from __future__ import annotations

import fnmatch
import glob
import os
from typing import TYPE_CHECKING

from producer.errors import SourceUnreadable
from producer.sources.kinds import SourceReport, is_taken, to_uri

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ANY_DEPTH = "**"


def has_magic(pattern: str) -> bool:
    """Whether the text holds `*`, `?` or `[`."""
    return glob.has_magic(pattern)


def match(pattern: str, report: SourceReport) -> Iterator[str]:
    """URIs of pictures and videos whose absolute path matches, folder by folder and by name.

    `**` stands for folders at any depth. As in a shell, `*` and `?` match no leading dot, and `**` enters no link.
    """
    parts = [part for part in pattern.split("/") if part]
    while parts[-2:] == [_ANY_DEPTH, _ANY_DEPTH]:
        parts.pop()
    if parts[-1] == _ANY_DEPTH:
        parts.append("*")
    for path in _match_parts("/", _without_doubled_depth(parts)):
        if not is_taken(path):
            report.skip(path)
        else:
            yield to_uri(path)


def _without_doubled_depth(parts: Sequence[str]) -> tuple[str, ...]:
    """`a/**/**/b` would find each file once for every way to split its folders."""
    pairs = zip(parts, [None, *parts], strict=False)
    return tuple(part for part, before in pairs if not part == before == _ANY_DEPTH)


def _match_parts(folder: str, parts: Sequence[str]) -> Iterator[str]:
    head, rest = parts[0], parts[1:]
    if head == _ANY_DEPTH:
        yield from _match_parts(folder, rest)
        for entry in _entries(folder, "*"):
            if entry.is_dir(follow_symlinks=False):
                yield from _match_parts(entry.path, parts)
    elif not has_magic(head):
        yield from _descend(os.path.join(folder, head), rest)  # noqa: PTH118
    else:
        for entry in _entries(folder, head):
            yield from _descend(entry.path, rest)


def _descend(path: str, rest: Sequence[str]) -> Iterator[str]:
    if rest:
        if os.path.isdir(path):  # noqa: PTH112
            yield from _match_parts(path, rest)
    elif os.path.isfile(path):  # noqa: PTH113
        yield path


def _entries(folder: str, pattern: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in entries if _matches(entry.name, pattern)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SourceUnreadable(f"{folder} cannot be listed: {error.strerror}; narrow the pattern") from error
    return sorted(found, key=lambda entry: entry.name)


def _matches(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern) and (not name.startswith(".") or pattern.startswith("."))
