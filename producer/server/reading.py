"""What a request may have labelled: its sources, each item held against the rules of the server and of its tenant."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from fetching.errors import FetchDenied
from fetching.paths import check_inside
from fetching.policy import FetchPolicy, is_remote
from producer.errors import SourceDenied, SourceEmpty
from producer.server.uploads import uploads_of
from producer.sources import SourceOptions, expand, read_since
from producer.sources.checking import check_uri, path_of
from producer.sources.dates import fill_dates
from videos.options import VideoOptions

if TYPE_CHECKING:
    from jobstore.schema import ItemRef
    from producer.server.auth import Caller
    from producer.wire import JobBody

_MAGIC = re.compile(r"[*?\[]")


def items_of(caller: Caller, body: JobBody) -> Iterator[ItemRef]:
    """Give every item that a body names, in order; nothing is looked at that the caller may not name.

    Raises:
        SourceInvalid: a source cannot be read, lies where this server or this tenant may not read, or there is none.
    """
    if not body.sources and not body.items:
        raise SourceEmpty("no source was given; expected `sources` (folders, patterns, files) or `items`")
    moment = datetime.now(UTC)
    sources = [fill_dates(source, moment) for source in body.sources]
    for source in sources:
        check_place(caller, source if is_remote(source) else _MAGIC.split(source)[0])
    options = SourceOptions(
        policy=_policy_of(caller),
        video=body.video.options() if body.video else VideoOptions(),
        include=body.include,
        exclude=body.exclude,
        since=None if body.since is None else read_since(body.since, moment),
        moment=moment,
    )
    found = expand(sources, options) if sources else iter(())
    given = (each.ref() for each in body.items)
    yield from islice(chain(_not_the_servers(caller, found), _each_checked(caller, given)), body.limit)


def check_place(caller: Caller, uri: str) -> None:
    """Refuse what lies outside of the folders and hosts of the policy, or in the server's own folder.

    Raises:
        SourceDenied.
    """
    if is_remote(uri):
        _check_uploaded(caller, uri)
    else:
        path = path_of(uri)
        if not os.path.isabs(path):  # noqa: PTH117 (of each item)
            raise SourceDenied(f"{uri} is no absolute path: the server does not know your folder; name it from / on")
        _check_own(caller, path, uri)
    check_uri(uri, _policy_of(caller))


def _not_the_servers(caller: Caller, items: Iterable[ItemRef]) -> Iterator[ItemRef]:
    """Items that the policy has let through; each folder of theirs is looked at once, for a million items."""
    seen: set[str] = set()
    for item in items:
        _check_uploaded(caller, item.uri)
        folder = "" if is_remote(item.uri) else os.path.dirname(path_of(item.uri))  # noqa: PTH120 (of each item)
        if folder and folder not in seen:
            _check_own(caller, folder, item.uri)
            seen.add(folder)
        yield item


def _each_checked(caller: Caller, items: Iterable[ItemRef]) -> Iterator[ItemRef]:
    for item in items:
        check_place(caller, item.uri)
        yield item


def _check_uploaded(caller: Caller, uri: str) -> None:
    """Refuse an object among the uploads that is not the caller's own."""
    place = caller.services.options.uploads.rstrip("/")
    own = uploads_of(caller.services.options, caller.tenant)
    if place and _same_scheme(uri).startswith(f"{place}/") and not _same_scheme(uri).startswith(f"{own}/"):
        raise SourceDenied(f"{uri} lies in the server's own bucket, of which only your uploads are read")


def _same_scheme(uri: str) -> str:
    scheme, mark, rest = uri.partition("://")
    return f"{scheme.lower()}{mark}{rest}"


def _check_own(caller: Caller, path: str, uri: str) -> None:
    options = caller.services.options
    if is_inside(path, options.data_dir) and not is_inside(path, Path(folder_of_uploads(caller))):
        raise SourceDenied(f"{uri} lies in the server's own folder, of which only your uploads are read")


def folder_of_uploads(caller: Caller) -> str:
    """Give the folder of the caller's uploads, whether or not later ones go to a bucket."""
    return uploads_of(replace(caller.services.options, uploads=""), caller.tenant)


def _policy_of(caller: Caller) -> FetchPolicy:
    options = caller.services.options
    roots = options.fetch.allowed_roots
    if roots is None:
        return options.fetch
    return replace(options.fetch, allowed_roots=(*roots, folder_of_uploads(caller)))


def is_inside(path: str, folder: Path) -> bool:
    """Say whether a path leads into a folder."""
    try:
        check_inside(path, (str(folder),))
    except FetchDenied:
        return False
    return True


def is_path(model: str) -> bool:
    """Say whether a model is named by a path rather than by an id."""
    return model.startswith(("/", ".", "~")) or ".." in model.split("/") or "\\" in model or model.endswith(".onnx")
