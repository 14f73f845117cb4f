"""Files of this machine that a server's workers should label: sent there once, and told by their names here.

`send` sends them, `refuse` refuses jobs with such files, `shared` leaves their paths as they are, for servers and
workers that have the same folders.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import unquote_to_bytes

from jobstore.views import ItemRow, ResultRow
from producer.answers import Page, Uploaded
from producer.errors import ServerRefused, UploadRefused
from producer.presigned import PresignedUploads
from producer.wire import decode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from jobstore.schema import ItemRef
    from producer.calling import Caller

logger = logging.getLogger(__name__)
Files = Literal["send", "refuse", "shared"]
Row = TypeVar("Row", ItemRow, ResultRow)
#: The item's metadata that keeps its path here; no column of a manifest has such a name.
NAME_HERE = "nightshift:sent_from"
#: Bytes from which on a file goes past the server, where that offers a way.
LARGE_BYTES = 8 * 2**20
#: Bytes and files of one request, but for a single larger file.
_REQUEST_BYTES, _REQUEST_FILES = 64 * 2**20, 200
#: Seconds for which the server has what was sent; operators have it keep uploads for a day at least.
_KNOWN_S = 12 * 3600.0


class Sender:
    """Sends files to one server, and knows what it has sent."""

    def __init__(self, caller: Caller, files: Files) -> None:
        self._caller, self._files = caller, files
        self._past = PresignedUploads(caller)
        self._sent: dict[str, tuple[str, float]] = {}  # sha256 and ending -> what the server calls it, and since when

    def carry(self, items: Iterable[ItemRef]) -> Iterator[ItemRef]:
        """Give the items, with what is a file here replaced by what the server calls it.

        Raises:
            UploadRefused: a file would have to be sent, and must not be.
        """
        if self._files == "shared":
            yield from items
            return
        found = list(items)
        here = {item.uri: path for item in found if (path := _path_here(item.uri)) is not None}
        if here and self._files == "refuse":
            raise UploadRefused(
                f"{next(iter(here))} lies on this machine, as do {len(here) - 1:,} others, and {self._caller.name} "
                'cannot read it: give Producer(files="send") to send files there, or "shared" where it has the same'
            )
        names = self._send(here)
        for item in found:
            if item.uri in names:
                yield replace(item, uri=names[item.uri], metadata={**(item.metadata or {}), NAME_HERE: item.uri})
            else:
                yield item

    def _send(self, here: dict[str, str]) -> dict[str, str]:
        """Send files, and give what the server calls them by what they are called here."""
        if not here:
            return {}
        sizes = {uri: os.path.getsize(path) for uri, path in here.items()}  # noqa: PTH202 - of each of many
        logger.warning(
            "sending %s files, %.1f MB, to %s; what it has from this producer is not sent again",
            f"{len(here):,}", sum(sizes.values()) / 1e6, self._caller.name,
        )  # fmt: skip
        keys = {uri: _key(path) for uri, path in here.items()}
        by_key = {keys[uri]: size for uri, size in sizes.items()}
        missing = {key: here[uri] for uri, key in keys.items() if not self._is_known(key)}
        small = [key for key, path in missing.items() if by_key[key] < LARGE_BYTES or not self._sent_past(key, path)]
        for batch in _batches(small, by_key):
            self._post({key: missing[key] for key in batch})
        return {uri: self._sent[key][0] for uri, key in keys.items()}

    def _is_known(self, key: str) -> bool:
        return key in self._sent and time.monotonic() - self._sent[key][1] < _KNOWN_S

    def _sent_past(self, key: str, path: str) -> bool:
        """Send a large file past the server; False: it has to go through it."""
        uri = self._past.send(path, key.partition(".")[0])
        if uri is not None:
            self._sent[key] = uri, time.monotonic()
        return uri is not None

    def _post(self, files: dict[str, str]) -> None:
        def opened(closing: contextlib.ExitStack) -> list[tuple[str, Any]]:
            return [
                ("files", (os.path.basename(path), closing.enter_context(open(path, "rb"))))  # noqa: PTH119, PTH123
                for path in files.values()
            ]

        answer = decode(self._caller.send("uploads", opened), Page[Uploaded])
        for (key, path), kept in zip(files.items(), answer.data, strict=True):
            if kept.sha256 != key.partition(".")[0]:
                raise ServerRefused(f"{path} changed while it was sent: see that nobody writes it, then submit again")
            self._sent[key] = kept.uri, time.monotonic()


def as_here(row: Row) -> Row:
    """Give a row by the item's name on the machine that sent it; others as they are."""
    if row.metadata is None or NAME_HERE not in row.metadata:
        return row
    rest = {name: value for name, value in row.metadata.items() if name != NAME_HERE}
    return replace(row, uri=str(row.metadata[NAME_HERE]), metadata=rest or None)


def _path_here(uri: str) -> str | None:
    """Give the path of an item that is a file on this machine."""
    scheme, mark, rest = uri.partition("://")
    if mark and scheme != "file":
        return None
    path = os.fsdecode(unquote_to_bytes(rest)) if mark else uri
    return path if os.path.isfile(path) else None  # noqa: PTH113


def _key(path: str) -> str:
    with open(path, "rb") as file:  # noqa: PTH123
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return digest + os.path.splitext(path)[1].lower()  # noqa: PTH122


def _batches(keys: Iterable[str], sizes: dict[str, int]) -> Iterator[Sequence[str]]:
    batch: list[str] = []
    held = 0
    for key in keys:
        if batch and (held + sizes[key] > _REQUEST_BYTES or len(batch) == _REQUEST_FILES):
            yield batch
            batch, held = [], 0
        batch.append(key)
        held += sizes[key]
    if batch:
        yield batch
