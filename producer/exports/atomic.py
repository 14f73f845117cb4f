"""Files and folders that appear complete or not at all.

Everything is written to a hidden sibling, forced to disk, and renamed. A process that was killed leaves its sibling
behind; the next export to the same place on the same host removes it.
"""

from __future__ import annotations

import os
import shutil
import socket
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from producer.errors import ExportFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

_SUFFIX = ".part"


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Give a binary file that becomes `path` when the block ends without an exception.

    Raises:
        ExportFailed: the disk refuses; `path` is as it was.
    """
    with _as_export_failed(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = _part_of(path)
        try:
            with part.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            _sync_folder(path.parent)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path, mark: str) -> Iterator[Path]:
    """Give an empty folder that becomes `path`, replacing an earlier export, when the block ends without an exception.

    `mark` is the name of a file that tells an earlier export from somebody's own folder, which is never replaced.

    Raises:
        ExportFailed: the disk refuses, or `path` is a folder without `mark`; `path` is as it was.
    """
    with _as_export_failed(path):
        if path.exists() and any(path.iterdir()) and not (path / mark).exists():
            raise ExportFailed(
                f"{path} holds files that are no earlier export ({mark} is missing); name another folder"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        part, old = _part_of(path), _part_of(path)
        try:
            part.mkdir()
            yield part
            _sync_tree(part)
            if path.exists():
                path.rename(old)
            part.rename(path)
            _sync_folder(path.parent)
        finally:
            if old.exists() and not path.exists():
                old.rename(path)
            for leftover in (part, old):
                shutil.rmtree(leftover, ignore_errors=True)


def files_below(folder: Path) -> Iterator[Path]:
    """Every file, each folder's in the order of their names.

    Not `Path.rglob`, which keeps all paths that it gave (Python 3.11): half a gigabyte at a million.
    """
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            yield Path(parent, name)


def remove_file(path: Path) -> None:
    """Remove a file if it is there.

    Raises:
        ExportFailed: the disk refuses.
    """
    with _as_export_failed(path):
        path.unlink(missing_ok=True)


@contextmanager
def _as_export_failed(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise ExportFailed(f"{path} cannot be written: {reason}; make room or name another folder") from error


def _part_of(path: Path) -> Path:
    """A new hidden sibling; those of dead processes of this host are removed on the way."""
    prefix = f".{path.name[:100]}.{socket.gethostname()[:50]}."
    for leftover in path.parent.glob(f"{_literal(prefix)}*{_SUFFIX}"):
        if not _is_alive(leftover.name.removeprefix(prefix).partition(".")[0]):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)
    return path.with_name(f"{prefix}{os.getpid()}.{uuid.uuid4().hex[:8]}{_SUFFIX}")


def _literal(text: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in text)


def _is_alive(pid: str) -> bool:
    return not pid.isdecimal() or Path(f"/proc/{pid}").exists() or not Path("/proc/self").exists()


def _sync_tree(folder: Path) -> None:
    for path in files_below(folder):
        _sync_folder(path)
    for parent, _, _ in os.walk(folder, topdown=False):
        _sync_folder(Path(parent))


def _sync_folder(path: Path) -> None:
    """Force a file's content, or a folder's names, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
