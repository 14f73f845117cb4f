"""From what people name (folders, patterns, files, manifests) to a stream of items.

Nothing is held but the names of one folder at a time, so a million pictures cost no memory; the price is that an error
in line 900,000 of a manifest is raised after 899,999 items, so the one who consumes must do it in one transaction.
"""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

from jobstore.schema import ItemRef
from producer.errors import SourceEmpty, SourceInvalid, SourceNotFound
from producer.sources.folder import walk
from producer.sources.kinds import PICTURE_SUFFIXES, SourceOptions, SourceReport, to_uri
from producer.sources.manifest import MANIFEST_SUFFIXES, check_scheme, read_manifest
from producer.sources.parts import items_of
from producer.sources.pattern import has_magic, match

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["PICTURE_SUFFIXES", "Source", "SourceOptions", "SourceReport", "expand"]

Source = str | os.PathLike[str]


def expand(
    sources: Source | Sequence[Source], options: SourceOptions | None = None, report: SourceReport | None = None
) -> Iterator[ItemRef]:
    """Every item of every source, in order: sources as given, folders and patterns sorted by name.

    A source is a folder (searched with its subfolders), a glob pattern such as `photos/**/*.jpg`, a manifest (`.csv`,
    `.jsonl`, `.ndjson`, `.txt`), or one picture or video. An existing path is never taken as a pattern. A picture that
    two sources name is two items; a video is one item, or one for each part that the options cut it into.

    Args:
        sources: one source or several.
        options: how many items at most, and which URI schemes the workers read, and how videos are cut.
        report: told what was passed over; read it after the last item.

    Raises:
        SourceInvalid: at the item where the fault shows; nothing is left out silently.
    """
    options = options or SourceOptions()
    report = report if report is not None else SourceReport()
    if options.limit is not None and options.limit < 1:
        raise SourceInvalid(f"limit is {options.limit}; expected 1 or more, or None for all")
    named = [sources] if isinstance(sources, str | os.PathLike) else sources
    if not named:
        raise SourceEmpty("no source was given; expected a folder, a pattern, a manifest, a picture or a video")
    items = itertools.chain.from_iterable(_expand_one(os.fspath(source), options, report) for source in named)
    yield from itertools.islice(items, options.limit)


def _expand_one(source: str, options: SourceOptions, report: SourceReport) -> Iterator[ItemRef]:
    before = report.taken
    for item in _open(source, options, report):
        report.taken += 1
        yield item
    if report.taken == before:
        wanted = ", ".join(sorted(PICTURE_SUFFIXES))
        raise SourceEmpty(f"{source}: nothing to label. Looked for {wanted} and videos; {report.describe()}")


def _open(source: str, options: SourceOptions, report: SourceReport) -> Iterable[ItemRef]:
    if "://" in source:
        check_scheme(source, options)
        return items_of(source, options, report)
    path = os.path.abspath(os.path.expanduser(source))  # noqa: PTH100, PTH111 - Path would drop a trailing dot name
    if os.path.isdir(path):  # noqa: PTH112
        return _each(walk(path, report), options, report)
    if os.path.exists(path):  # noqa: PTH110
        return _open_file(path, options, report)
    if has_magic(source):
        return _each(match(path, report), options, report)
    raise SourceNotFound(f"{source}: no such folder or file, and no pattern (looked at {path})")


def _each(uris: Iterable[str], options: SourceOptions, report: SourceReport) -> Iterator[ItemRef]:
    for uri in uris:
        yield from items_of(uri, options, report)


def _open_file(path: str, options: SourceOptions, report: SourceReport) -> Iterable[ItemRef]:
    if path.lower().endswith(MANIFEST_SUFFIXES):
        return read_manifest(path, options, report)
    return items_of(to_uri(path), options, report)
