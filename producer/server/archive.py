"""A folder as a zip archive that is made while it is read: neither in memory nor on disk as a whole."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

_CHUNK_BYTES = 2**18
#: Compressed long ago; trying again costs time and saves nothing.
_PACKED = frozenset({".jpg", ".jpeg", ".png", ".webp", ".parquet", ".mp4", ".zip", ".gz"})


class _Outlet(io.RawIOBase):
    """Takes what the archive writes, and gives it on; it cannot be wound back, which zipfile respects."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, content: bytes) -> int:  # type: ignore[override]  # zipfile gives bytes
        self._waiting += content
        return len(content)

    def drain(self) -> bytes:
        found, self._waiting = bytes(self._waiting), bytearray()
        return found


def zipped(folder: Path) -> Iterator[bytes]:
    """Give the archive of every regular file below `folder`, in the order of their names; links are left out."""
    outlet = _Outlet()
    with zipfile.ZipFile(outlet, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in _files(folder):
            info = zipfile.ZipInfo.from_file(path, path.relative_to(folder), strict_timestamps=False)
            info.compress_type = zipfile.ZIP_STORED if path.suffix.lower() in _PACKED else zipfile.ZIP_DEFLATED
            with path.open("rb") as source, archive.open(info, "w") as target:
                while chunk := source.read(_CHUNK_BYTES):
                    target.write(chunk)
                    yield outlet.drain()
            yield outlet.drain()
    yield outlet.drain()


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink():
                yield path
