"""Glob patterns, streamed: `glob.glob` holds every name, and `iglob` gives them in the disk's order."""

from __future__ import annotations

import fnmatch
import glob
import os
from typing import TYPE_CHECKING

from producer.errors import SourceUnreadable
from producer.sources.kinds import SourceReport, is_taken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_ANY_DEPTH = "**"


def has_magic(pattern: str) -> bool:
    """Whether the text holds `*`, `?` or `[`."""
    return glob.has_magic(pattern)


def fixed_part(pattern: str) -> str:
    """The folder, or the prefix of a bucket, before the first part that holds `*`, `?` or `[`."""
    parts = pattern.split("/")
    fixed = next(place for place, part in enumerate([*parts, "*"]) if has_magic(part))
    return "/".join(parts[:fixed]) or "/"


def fits(key: str, pattern: str) -> bool:
    """Whether a key matches as paths do in `match`. Every part of the pattern is compared once, however many `**`."""
    parts = _parts(pattern)
    places = _with_following({0}, parts)
    for name in key.split("/"):
        found = set()
        for place in places - {len(parts)}:
            if parts[place] == _ANY_DEPTH and not name.startswith("."):
                found.add(place)
            elif parts[place] != _ANY_DEPTH and _matches(name, parts[place]):
                found.add(place + 1)
        places = _with_following(found, parts)
    return len(parts) in places


def _with_following(places: set[int], parts: Sequence[str]) -> set[int]:
    """The places, and those behind a `**`, which may stand for nothing."""
    found = set(places)
    for place in range(len(parts)):
        if place in found and parts[place] == _ANY_DEPTH:
            found.add(place + 1)
    return found


def _parts(pattern: str) -> tuple[str, ...]:
    """The pattern between its slashes; a last `**` means the files below, and doubled ones are one."""
    parts = [part for part in pattern.split("/") if part]
    if parts[-1] == _ANY_DEPTH:
        parts.append("*")
    return _without_doubled_depth(parts)


def match(pattern: str, report: SourceReport, is_inside: Callable[[str], bool]) -> Iterator[str]:
    """Paths of pictures and videos whose absolute path matches, folder by folder and by name.

    `**` stands for folders at any depth. As in a shell, `*` and `?` match no leading dot, and `**` enters no link.
    """
    for path in _match_parts("/", _parts(pattern)):
        if not is_taken(path):
            report.skip(path)
        elif not is_inside(path):
            report.outside += 1
        else:
            yield path


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
