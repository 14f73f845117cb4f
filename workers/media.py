"""Reading an item's bytes, or opening it: one Protocol, the reader of local files, and the one that fetches, too.

Whatever the producer allowed, the policy of this machine is asked again: rows may be older than it.
Every failure is a `MediaError` with a code of `MEDIA_CODES`; it becomes the outcome of one item and concerns no other.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol
from urllib.parse import unquote_to_bytes, urlsplit

from fetching.errors import FETCH_CODES, FetchError, FetchFailed, FetchTimeout
from fetching.fetcher import Fetcher
from fetching.paths import NotRegular, open_regular
from fetching.policy import is_remote, shown

__all__ = ["MEDIA_CODES", "FileReader", "ItemReader", "MediaError", "MediaLimits", "MediaReader"]

#: Why an item's bytes cannot be had: the closed list, with what each means.
MEDIA_CODES = {
    "not_found": "no file has this path on the worker's machine",
    "permission_denied": "the worker's user may not read the file",
    "not_a_file": "the path is a folder, a pipe, a socket or a device",
    "file_too_large": "the file has more bytes than the worker reads",
    "unsupported_scheme": "the URI is neither an absolute path nor a file:// URI",
    "read_failed": "the storage gave an error while reading; the same item may work later",
    **FETCH_CODES,
}
_RETRYABLE = frozenset({"read_failed", FetchTimeout.code, FetchFailed.code})

_CODES_BY_ERRNO = {
    errno.ENOENT: "not_found",
    errno.ENOTDIR: "not_found",
    errno.EACCES: "permission_denied",
    errno.EPERM: "permission_denied",
    errno.EISDIR: "not_a_file",
    errno.ENXIO: "not_a_file",  # a socket
    errno.ENODEV: "not_a_file",
}


class MediaError(Exception):
    """An item's bytes cannot be had. `code` is one of `MEDIA_CODES` and becomes the outcome's code."""

    def __init__(self, code: str, message: str) -> None:
        if code not in MEDIA_CODES:
            raise ValueError(f"code {code!r} is not one of {', '.join(sorted(MEDIA_CODES))}")
        super().__init__(message)
        self.code = code

    @property
    def retryable(self) -> bool:
        """Whether the same read may work later."""
        return self.code in _RETRYABLE


class MediaReader(Protocol):
    """Where items' bytes come from."""

    def read(self, uri: str) -> bytes:
        """All bytes of one item, or `MediaError`."""
        ...

    def open(self, uri: str, beat: Callable[[], None]) -> BinaryIO:
        """A video, to be read piece by piece and closed by the caller, or `MediaError`.

        `beat` is called while it comes, however long that takes.
        """
        ...


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """How much one item may bring into memory; 256 MiB hold 50 million raw RGB pixels."""

    max_file_bytes: int = 256 * 1024 * 1024


class FileReader:
    """Reads regular files by absolute path or `file://` URI, never blocking on a pipe and never above the limit.

    Args:
        roots: folders outside of which nothing is read, whatever links lead there; None: every folder.
    """

    def __init__(self, limits: MediaLimits = MediaLimits(), roots: tuple[str, ...] | None = None) -> None:
        self._max_bytes, self._roots = limits.max_file_bytes, roots

    def read(self, uri: str) -> bytes:
        """All bytes of the file.

        Raises:
            MediaError: with a code of `MEDIA_CODES`.
        """
        with _typed(uri):
            return self._read_path(local_path(uri))

    def open(self, uri: str, beat: Callable[[], None] = lambda: None) -> BinaryIO:  # noqa: ARG002 (a file is there)
        """The file, of whatever size.

        Raises:
            MediaError: with a code of `MEDIA_CODES`.
        """
        with _typed(uri):
            descriptor, _ = open_regular(local_path(uri), self._roots)
            return os.fdopen(descriptor, "rb", buffering=0)

    def _read_path(self, path: str) -> bytes:
        descriptor, size = open_regular(path, self._roots)
        try:
            self._check_bytes(path, size)
            return self._read_all(path, descriptor, size)
        finally:
            os.close(descriptor)

    def _read_all(self, path: str, descriptor: int, size: int) -> bytes:
        """Read to the end, which may have moved since `size` was asked for."""
        data = os.read(descriptor, size + 1)
        if len(data) == size:
            return data
        parts, total = [data], len(data)
        while part := os.read(descriptor, 1 << 20):
            parts.append(part)
            total += len(part)
            self._check_bytes(path, total)
        return b"".join(parts)

    def _check_bytes(self, path: str, size: int) -> None:
        if size > self._max_bytes:
            raise MediaError("file_too_large", f"{path} has {size} bytes; at most {self._max_bytes} are read")


class ItemReader:
    """Reads files and remote items, each as the policy of the fetcher allows."""

    def __init__(self, fetcher: Fetcher, limits: MediaLimits = MediaLimits()) -> None:
        self._fetcher, self._limits = fetcher, limits
        self._files = FileReader(limits, fetcher.policy.allowed_roots)

    def read(self, uri: str) -> bytes:
        """All bytes of the item.

        Raises:
            MediaError: with a code of `MEDIA_CODES`.
        """
        if not is_remote(uri):
            return self._files.read(uri)
        with _typed(uri):
            return self._fetcher.read(uri, self._limits.max_file_bytes)

    def open(self, uri: str, beat: Callable[[], None] = lambda: None) -> BinaryIO:
        """The file, or what was downloaded into one without a name, which goes when it is closed or the process ends.

        Raises:
            MediaError: with a code of `MEDIA_CODES`.
        """
        if not is_remote(uri):
            return self._files.open(uri)
        with _typed(uri):
            return self._fetcher.download(uri, beat)


@contextlib.contextmanager
def _typed(uri: str) -> Iterator[None]:
    """Turn an error of the system, or of fetching, into ours."""
    try:
        yield
    except FetchError as error:
        raise MediaError(error.code, str(error)) from error
    except NotRegular as error:
        raise MediaError("not_a_file", str(error)) from error
    except OSError as error:
        code = _CODES_BY_ERRNO.get(error.errno or 0, "read_failed")
        raise MediaError(code, f"{shown(uri)}: {error.strerror or error}") from error


def local_path(uri: str) -> str:
    """The absolute path that `uri` names.

    Raises:
        MediaError: `unsupported_scheme`, or `not_found` for a path that no file can have.
    """
    path = uri
    if uri.startswith("file://"):
        parts = urlsplit(uri)
        if parts.netloc not in {"", "localhost"}:
            raise MediaError("unsupported_scheme", f"{uri} is on host {parts.netloc!r}; expected file:///absolute/path")
        path = os.fsdecode(unquote_to_bytes(uri.removeprefix(f"file://{parts.netloc}")))
    if not path.startswith("/"):
        raise MediaError("unsupported_scheme", f"{uri!r} is neither an absolute path nor a file:// URI")
    if "\0" in path:
        raise MediaError("not_found", f"{uri!r} holds a zero byte, which no file name has")
    return path
