"""What a request may have labelled: its sources, each item held against the rules of the server and of its tenant."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from fetching.errors import FetchDenied
from fetching.paths import check_inside
from fetching.policy import BUCKET_SCHEMES
from producer.errors import SourceEmpty
from producer.sources import SourceOptions, expand
from videos.options import VideoOptions

if TYPE_CHECKING:
    from jobstore.schema import ItemRef
    from producer.server.auth import Caller
    from producer.server.services import ServerOptions
    from producer.wire import JobBody

_MAGIC = re.compile(r"[*?\[]")


def uploads_of(options: ServerOptions, tenant: str) -> Path:
    """Give the folder of a tenant's uploads."""
    return options.data_dir / "uploads" / tenant


def exports_of(options: ServerOptions, tenant: str) -> Path:
    """Give the folder of a tenant's exports."""
    return options.data_dir / "exports" / tenant


def items_of(caller: Caller, body: JobBody) -> Iterator[ItemRef]:
    """Give every item that a body names, in order; nothing is looked at that the caller may not name.

    Raises:
        SourceInvalid: a source cannot be read, or there is none.
        FetchDenied: a source or an item lies where this server, or this tenant, may not read.
    """
    if not body.sources and not body.items:
        raise SourceEmpty("no source was given; expected `sources` (folders, patterns, files) or `items`")
    for source in body.sources:
        check_place(caller, _MAGIC.split(source)[0] if "://" not in source else source)
    options = SourceOptions(video=body.video.options() if body.video else VideoOptions())
    named = expand(body.sources, options) if body.sources else iter(())
    for item in islice(chain(named, (each.ref() for each in body.items)), body.limit):
        check_place(caller, item.uri)
        yield item


def check_place(caller: Caller, uri: str) -> None:
    """Refuse what lies outside of the folders and hosts of the policy, or in another tenant's uploads.

    Raises:
        FetchDenied.
    """
    options = caller.services.options
    scheme, mark, _ = uri.partition("://")
    if mark and scheme.lower() != "file":
        _ = options.fetch.check_bucket(uri) if scheme.lower() in BUCKET_SCHEMES else options.fetch.check_web(uri)
        return
    path = unquote(uri.removeprefix("file://")) if mark else uri
    if not os.path.isabs(path):  # noqa: PTH117 (of each item)
        raise FetchDenied(f"{uri} is no absolute path: a server does not know the caller's folder; name it from / on")
    own = str(uploads_of(options, caller.tenant))
    try:
        check_inside(path, (own,))
    except FetchDenied:
        roots = options.fetch.allowed_roots
        if is_inside(path, options.data_dir):
            raise FetchDenied(f"{uri} lies in the server's own folder, of which only uploads are read") from None
        check_inside(path, roots)


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
