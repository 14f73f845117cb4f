"""From what people name (folders, patterns, files, manifests) to a stream of items.

Nothing is held but the names of one folder at a time, so a million pictures cost no memory; the price is that an error
in line 900,000 of a manifest is raised after 899,999 items, so the one who consumes must do it in one transaction.
"""

from __future__ import annotations

import itertools
import os
from datetime import datetime
from typing import TYPE_CHECKING

from fetching.policy import has_scheme, is_remote
from jobstore.schema import ItemRef
from producer.errors import SourceEmpty, SourceInvalid, SourceNotFound
from producer.sources.checking import check_uri, inside
from producer.sources.dates import fill_dates
from producer.sources.folder import walk
from producer.sources.kinds import PICTURE_SUFFIXES, SourceOptions, SourceReport, to_uri
from producer.sources.manifest import MANIFEST_SUFFIXES, read_manifest
from producer.sources.parts import items_of
from producer.sources.pattern import fixed_part, has_magic, match
from producer.sources.selecting import is_named, read_since, refuse_since

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["PICTURE_SUFFIXES", "Source", "SourceOptions", "SourceReport", "expand", "read_since"]

Source = str | os.PathLike[str]


def expand(
    sources: Source | Sequence[Source], options: SourceOptions | None = None, report: SourceReport | None = None
) -> Iterator[ItemRef]:
    """Every item of every source, in order: sources as given, folders and patterns sorted by name.

    A source is a folder (searched with its subfolders), a glob pattern such as `photos/**/*.jpg`, a manifest (`.csv`,
    `.jsonl`, `.ndjson`, `.txt`, `.parquet`), or one picture or video. All but folders may lie on a web server
    (`https://`), all of them in a bucket (`s3://`, `gs://`, `az://`), whose folders are prefixes. An existing path is
    never taken as a pattern. `{date:%Y/%m/%d}` stands for a date. A picture that two sources name is two items; a
    video is one item, or one for each part that the options cut it into.

    Args:
        sources: one source or several.
        options: what is taken, and what may be read at all.
        report: told what was passed over; read it after the last item.

    Raises:
        SourceInvalid: at the item where the fault shows; nothing is left out silently.
    """
    options = options or SourceOptions()
    report = report if report is not None else SourceReport()
    if options.limit is not None and options.limit < 1:
        raise SourceInvalid(f"limit is {options.limit}; expected 1 or more, or None for all")
    moment = options.moment or datetime.now().astimezone()
    named = [sources] if isinstance(sources, str | os.PathLike) else sources
    if not named:
        raise SourceEmpty("no source was given; expected a folder, a pattern, a manifest, a picture or a video")
    filled = (fill_dates(os.fspath(source), moment) for source in named)
    items = itertools.chain.from_iterable(_expand_one(source, options, report) for source in filled)
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
    if is_remote(source):
        from producer.sources.remote import open_remote  # boto3 and TLS cost what a local folder need not pay

        return open_remote(source, options, report)
    if has_scheme(source):
        check_uri(source, options.policy)
        refuse_since(source, options)
        return items_of(source, options, report)
    path = os.path.abspath(os.path.expanduser(source))  # noqa: PTH100, PTH111 - Path would drop a trailing dot name
    check_uri(path if not has_magic(path) or os.path.exists(path) else fixed_part(path), options.policy)  # noqa: PTH110
    if os.path.isdir(path):  # noqa: PTH112
        return _each(walk(path, report, inside(options.policy)), path, options, report)
    if os.path.exists(path):  # noqa: PTH110
        refuse_since(source, options)
        return _open_file(path, options, report)
    if has_magic(source):
        return _each(match(path, report, inside(options.policy)), fixed_part(path), options, report)
    raise SourceNotFound(f"{source}: no such folder or file, and no pattern (looked at {path})")


def _each(paths: Iterable[str], root: str, options: SourceOptions, report: SourceReport) -> Iterator[ItemRef]:
    start = len(root.rstrip("/")) + 1
    for path in paths:
        if is_named(path[start:], options) and (options.since is None or _changed(path) > options.since):
            yield from items_of(to_uri(path), options, report)
        else:
            report.unselected += 1


def _changed(path: str) -> float:
    try:
        return os.stat(path).st_mtime  # noqa: PTH116 - of a million names
    except OSError:
        return float("inf")  # gone since it was listed: the worker says so


def _open_file(path: str, options: SourceOptions, report: SourceReport) -> Iterable[ItemRef]:
    if path.lower().endswith(MANIFEST_SUFFIXES):
        return read_manifest(path, options, report)
    return items_of(to_uri(path), options, report)
