"""An export's folder as one zip archive, which appears whole or not at all; the same files give the same bytes."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from producer.errors import ExportFailed

_CHUNK_BYTES = 2**18
#: Compressed long ago; trying again costs time and saves nothing.
_PACKED = frozenset({".jpg", ".jpeg", ".png", ".webp", ".parquet", ".mp4", ".zip", ".gz"})
#: The earliest that the format knows: when a file was written is no part of what was exported.
_MOMENT = (1980, 1, 1, 0, 0, 0)


def write_archive(folder: Path, path: Path) -> None:
    """Write every regular file below `folder`, in the order of their names, to the archive `path`; links are left out.

    Raises:
        ExportFailed: the disk refuses; nothing of it is visible.
    """
    for left in path.parent.glob(f".{path.name}.*.part"):  # of a maker that was killed
        left.unlink(missing_ok=True)
    part: str | None = None
    try:
        descriptor, part = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            _fill(file, folder)
            file.flush()
            os.fsync(file.fileno())
        Path(part).replace(path)
    except OSError as error:
        if part is not None:
            Path(part).unlink(missing_ok=True)
        raise ExportFailed(f"the archive cannot be written: {error.strerror or error}; make room") from error


def _fill(file: object, folder: Path) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[call-overload]
        for path in _files(folder):
            info = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _MOMENT)
            info.external_attr = 0o644 << 16
            info.compress_type = zipfile.ZIP_STORED if path.suffix.lower() in _PACKED else zipfile.ZIP_DEFLATED
            size = path.stat().st_size
            with path.open("rb") as source, archive.open(info, "w", force_zip64=size >= 2**31) as target:
                shutil.copyfileobj(source, target, _CHUNK_BYTES)


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink():
                yield path
