"""One file from a provider into its place: resumed where it was left, verified while it is written, never half there.

The bytes go to `NAME.part`; `NAME.part.json` says which version of which file they belong to. A process that is killed
leaves both, and the next one asks only for the rest. There is no HEAD request: addresses signed for GET refuse it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import httpx

from inference_engine.errors import DownloadRefused, FileDamaged, ProviderUnavailable
from inference_engine.remote_packages import RemoteFile
from inference_engine.transport import Limits, not_answered, raise_for_status, shown, tried

_PIECE = 1 << 18


@dataclass(frozen=True, slots=True)
class Download:
    """An address to fetch a file from; `headers` go to that host only."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def download(
    client: httpx.Client, source: Download | Iterable[bytes], file: RemoteFile, folder: Path, limits: Limits
) -> str:
    """Fetch a file into `folder` and give its sha256; what lies there complete is only hashed.

    Raises:
        FileDamaged: the bytes are not what the provider declares.
        DownloadRefused: more bytes than the limit.
        ProviderError: the host refuses, or does not answer in time.
    """
    target = folder / file.name
    target.parent.mkdir(parents=True, exist_ok=True)
    part = _Part(target, file, limits)
    if not part.is_complete():
        if isinstance(source, Download):
            tried(lambda: _pull(client, source, part), limits)
        else:
            part.start("")
            part.write(source)
    return part.finish()


def new_hash(algorithm: str, size: int | None) -> Any:
    """A hash to feed; git's begins with a header that holds the size."""
    if algorithm == "git-sha1":
        return hashlib.sha1(b"blob %d\0" % (size or 0), usedforsecurity=False)
    return hashlib.new(algorithm, usedforsecurity=False)


def replace_file(source: Path, target: Path) -> None:
    """Rename, and make the rename last."""
    source.replace(target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make a folder's entries last through a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_file(path: Path, data: bytes) -> None:
    """Write a small file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    replace_file(temporary, path)


def _pull(client: httpx.Client, source: Download, part: _Part) -> None:
    """One request for what is missing; what came before a failure is kept for the next."""
    headers = {**source.headers, "Accept-Encoding": "identity", **part.range_headers()}
    try:
        with client.stream("GET", source.url, headers=headers) as response:
            if response.status_code == 416 or not part.fits(response):
                part.clear()
                raise ProviderUnavailable(f"{shown(source.url)}: the file has changed, starting anew", retry_after_s=0)
            raise_for_status(response)
            if response.status_code != 206:
                part.start(response.headers.get("ETag", ""))
            part.refuse_above(int(response.headers.get("Content-Length", 0)) + part.size)
            # As they come: pieces of a size would be waited for, and a host that sends a byte a second with them.
            part.write(response.iter_raw())
    except httpx.RequestError as error:
        raise not_answered(source.url, error) from error


class _Part:
    """The bytes of a file so far, hashed as they come."""

    def __init__(self, target: Path, file: RemoteFile, limits: Limits) -> None:
        self._target, self._file, self._limits = target, file, limits
        self._path = target.with_name(target.name + ".part")
        self._note = target.with_name(target.name + ".part.json")
        self._deadline = time.monotonic() + limits.deadline_s
        self._wanted = f"{file.hash}/{file.size}"
        self._etag, self.size = "", 0
        self._reset_hashes()
        self._reopen()

    def _reopen(self) -> None:
        """Take up what an earlier process left, if it is of this file."""
        if self._target.is_file():
            self._target.replace(self._path)
            write_file(self._note, json.dumps({"wanted": self._wanted, "etag": ""}).encode())
        try:
            note = json.loads(self._note.read_bytes())
            if note["wanted"] != self._wanted or (self._file.hash is None and not _is_strong(note["etag"])):
                return self.clear()
            self._etag = note["etag"]
            with self._path.open("rb") as file:
                for piece in iter(lambda: file.read(_PIECE), b""):
                    self._count(piece)
        except (OSError, ValueError, KeyError, TypeError):
            self.clear()
        return None

    def _reset_hashes(self) -> None:
        algorithms = {"sha256", *([self._file.hash.algorithm] if self._file.hash else [])}
        self._hashes = {name: new_hash(name, self._file.size) for name in algorithms}
        self.size = 0

    def _count(self, piece: bytes) -> None:
        self.size += len(piece)
        for found in self._hashes.values():
            found.update(piece)

    def clear(self) -> None:
        """Forget all of it."""
        self._path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)
        self._etag = ""
        self._reset_hashes()

    def start(self, etag: str) -> None:
        """Begin at the first byte, of the version that `etag` names."""
        self.clear()
        self._etag = etag
        write_file(self._note, json.dumps({"wanted": self._wanted, "etag": etag}).encode())

    def is_complete(self) -> bool:
        """Whether the bytes so far are the file, so that nothing needs to be asked for."""
        return self.size > 0 and self._file.hash is not None and self._has_hash()

    def range_headers(self) -> dict[str, str]:
        """What asks for the rest."""
        if not self.size:
            return {}
        condition = {"If-Range": self._etag} if _is_strong(self._etag) else {}
        return {"Range": f"bytes={self.size}-", **condition}

    def fits(self, response: httpx.Response) -> bool:
        """Whether a 206 continues these very bytes; other answers start anew by themselves."""
        if response.status_code != 206:
            return True
        begins = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        etag = response.headers.get("ETag", "")
        is_other = bool(etag and self._etag and etag != self._etag)
        return begins is not None and int(begins[1]) == self.size and not is_other

    def refuse_above(self, total: int) -> None:
        """Raise DownloadRefused or FileDamaged as soon as there are too many bytes."""
        if total > self._limits.max_file_bytes:
            self.clear()
            raise DownloadRefused(f"{self._file.name}: over {self._limits.max_file_bytes} bytes, which is the limit")
        if self._file.size is not None and total > self._file.size:
            self.clear()
            raise FileDamaged(f"{self._file.name}: {total} bytes or more, the provider says {self._file.size}")

    def write(self, pieces: Iterable[bytes]) -> None:
        """Append, hash and watch the clock."""
        with self._path.open("ab") as file:
            for piece in self._in_time(pieces):
                self.refuse_above(self.size + len(piece))
                file.write(piece)
                self._count(piece)
            _sync(file)

    def _in_time(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            if time.monotonic() > self._deadline:
                raise ProviderUnavailable(f"{self._file.name}: not fetched within {self._limits.deadline_s:g} s")
            yield piece

    def finish(self) -> str:
        """Verify, put into place, and give the sha256."""
        file = self._file
        if (file.hash and not self._has_hash()) or (file.size is not None and self.size != file.size):
            found = file.hash and self._hashes[file.hash.algorithm].hexdigest()
            size = self.size
            self.clear()
            raise FileDamaged(
                f"{file.name}: {size} bytes with hash {found}, the provider says {file.size or '?'} and {file.hash}"
            )
        self._path.touch()  # a file of no bytes was never written to
        replace_file(self._path, self._target)
        self._note.unlink(missing_ok=True)
        return str(self._hashes["sha256"].hexdigest())

    def _has_hash(self) -> bool:
        wanted = self._file.hash
        return wanted is not None and self._hashes[wanted.algorithm].hexdigest() == wanted.value


def _is_strong(etag: str) -> bool:
    """Only a strong validator promises equal bytes (RFC 9110, 8.8.1)."""
    return bool(etag) and not etag.startswith("W/")


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
