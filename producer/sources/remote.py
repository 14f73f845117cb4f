"""Sources beyond this machine: single items, lists, and what lies below a prefix of a bucket."""

from __future__ import annotations

import posixpath
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from fetching.errors import FetchDenied
from fetching.fetcher import Fetcher
from fetching.policy import BUCKET_SCHEMES, has_scheme, is_remote, scheme_of, shown
from producer.errors import SourceDenied
from producer.sources.checking import as_source_error, check_uri
from producer.sources.kinds import SourceOptions, SourceReport, is_taken
from producer.sources.manifest import MANIFEST_SUFFIXES, read_items
from producer.sources.parts import items_of
from producer.sources.pattern import fits, fixed_part, has_magic
from producer.sources.selecting import is_named, refuse_since

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fetching.objects import StoredObject
    from jobstore.schema import ItemRef


def open_remote(source: str, options: SourceOptions, report: SourceReport) -> Iterable[ItemRef]:
    """The items of one remote source.

    Of a bucket, a name that ends like a picture, a video or a manifest is one; one with `*`, `?` or `[` is a pattern;
    any other is a folder.

    Raises:
        SourceInvalid: it is not read here, or not now.
    """
    check_uri(source, options.policy)
    is_bucket = scheme_of(source) in BUCKET_SCHEMES
    path = source.partition("://")[2].partition("/")[2] if is_bucket else urlsplit(source).path
    if is_bucket and has_magic(path):
        return _below(source, path, options, report)
    if path.lower().endswith(MANIFEST_SUFFIXES):
        refuse_since(shown(source), options)
        return _listed(source, path, options, report)
    if is_bucket and not is_taken(path):
        return _below(source, f"{path.rstrip('/')}/" if path.strip("/") else "", options, report)
    refuse_since(shown(source), options)
    return items_of(source, options, report)


def _listed(source: str, ending: str, options: SourceOptions, report: SourceReport) -> Iterator[ItemRef]:
    """The items of a remote manifest, which goes to disk first: Parquet begins at its end."""
    with _fetching(options) as fetcher, fetcher.download(source) as file:
        yield from read_items(shown(source), ending, file, lambda written: _beside(source, written), options, report)


def _beside(base: str, written: str) -> str:
    """An item of a remote manifest: an address, or a place beside the manifest, and never a file of a worker's disk."""
    if has_scheme(written):
        if not is_remote(written):
            raise SourceDenied(f"{shown(written)} is a local file; a remote list may name remote items only")
        return written
    if scheme_of(base) in BUCKET_SCHEMES:
        scheme, _, rest = base.partition("://")
        bucket, _, key = rest.partition("/")
        return f"{scheme}://{bucket}/{posixpath.normpath(posixpath.join('/', posixpath.dirname(key), written))[1:]}"
    return urljoin(base, written)


def _below(source: str, path: str, options: SourceOptions, report: SourceReport) -> Iterator[ItemRef]:
    """What lies below a prefix, or matches a pattern of keys, in the storage's order."""
    root = source.partition("://")[2].partition("/")[0]
    address = f"{scheme_of(source)}://{root}"
    fixed = fixed_part(path).strip("/") if has_magic(path) else path.strip("/")
    prefix = f"{fixed}/" if fixed else ""
    pattern = path if has_magic(path) else None
    with _fetching(options) as fetcher:
        for entry in fetcher.listing(f"{address}/{prefix}"):
            uri, name = f"{address}/{entry.key}", entry.key[len(prefix) :]
            if pattern is not None and not fits(entry.key, pattern):
                continue
            if _is_chosen(uri, name, entry, options, report):
                yield from items_of(uri, options, report)


def _is_chosen(uri: str, name: str, entry: StoredObject, options: SourceOptions, report: SourceReport) -> bool:
    if not name or name.endswith("/") or name.startswith(".") or "/." in name:
        return False  # a folder's mark, or hidden as in a folder of this machine
    if not is_taken(name) or not _is_readable(uri, options):
        report.skip(uri)
        return False
    if not is_named(name, options) or (options.since is not None and entry.modified <= options.since):
        report.unselected += 1
        return False
    return True


def _is_readable(uri: str, options: SourceOptions) -> bool:
    """Whether workers could read a key that somebody gave such a name."""
    try:
        options.policy.check_bucket(uri)
    except FetchDenied:
        return False
    return True


@contextmanager
def _fetching(options: SourceOptions) -> Iterator[Fetcher]:
    """Give the fetcher that was handed in, or one for this source alone; its errors become ours."""
    fetcher = options.fetcher or Fetcher(options.policy)
    try:
        with as_source_error():
            yield fetcher
    finally:
        if fetcher is not options.fetcher:
            fetcher.close()
