"""Unpacking archives of packages that others made: nothing is written outside the folder, nothing without limits."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from inference_engine.errors import PackageInvalid


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """What an archive may hold.

    Attributes:
        max_bytes: unpacked, all files together.
        max_ratio: unpacked bytes a packed byte; checked once more than a megabyte comes out.
        max_files: files and folders.
    """

    max_bytes: int = 20 << 30
    max_ratio: int = 200
    max_files: int = 10_000


_PIECE, _RATIO_FROM = 1 << 20, 1 << 20
_UNIX_TYPE_SHIFT, _UNIX_TYPE, _UNIX_FILE, _UNIX_FOLDER = 16, 0o170000, 0o100000, 0o040000


def unpack(archive: Path, dest: Path, limits: ArchiveLimits = ArchiveLimits()) -> None:
    """Unpack a tar (plain, gz, bz2, xz) or zip archive into a folder that does not exist yet.

    Names with `..`, absolute ones, backslashes, drives, NUL, names that come twice (also where only case differs),
    links and devices are refused before anything is written; the folder is removed again where unpacking fails.

    Raises:
        PackageInvalid: with the first thing that is wrong.
    """
    dest.mkdir(parents=True)
    try:
        if tarfile.is_tarfile(archive):
            _unpack_tar(archive, dest, limits)
        elif zipfile.is_zipfile(archive):
            _unpack_zip(archive, dest, limits)
        else:
            raise zipfile.BadZipFile("neither a tar nor a zip archive")  # noqa: TRY301 (becomes PackageInvalid below)
    except BaseException as error:
        shutil.rmtree(dest, ignore_errors=True)
        damaged = (
            OSError,
            ValueError,
            EOFError,
            NotImplementedError,
            RuntimeError,
            tarfile.TarError,
            zipfile.BadZipFile,
        )
        if isinstance(error, damaged):
            raise PackageInvalid(f"{archive} cannot be unpacked: {type(error).__name__}: {error}") from error
        raise


def _unpack_tar(archive: Path, dest: Path, limits: ArchiveLimits) -> None:
    with tarfile.open(archive) as tar:
        members: list[tarfile.TarInfo] = []
        total = 0
        for member in tar:  # one by one, so that an archive of endless members ends here
            if not (member.isfile() or member.isdir()):
                raise PackageInvalid(f"{archive}: {member.name!r} is a link or a device")
            total += member.size
            members.append(member)
            _check_amount(archive, total, len(members), limits)
        _check_names(archive, (member.name for member in members))
        for member in members:
            tar.extract(member, dest, set_attrs=False, filter="data")


def _unpack_zip(archive: Path, dest: Path, limits: ArchiveLimits) -> None:
    with zipfile.ZipFile(archive) as source:
        entries = source.infolist()
        _check_amount(archive, sum(entry.file_size for entry in entries), len(entries), limits)
        # `filename` is cut at NUL and has its backslashes turned already; `orig_filename` is what the archive says.
        _check_names(archive, (entry.orig_filename for entry in entries))
        for entry in entries:
            kind = (entry.external_attr >> _UNIX_TYPE_SHIFT) & _UNIX_TYPE
            if kind not in (0, _UNIX_FILE, _UNIX_FOLDER):
                raise PackageInvalid(f"{archive}: {entry.filename!r} is a link or a device")
        written = 0
        for entry in entries:
            target = dest / entry.filename
            if entry.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with source.open(entry) as packed, target.open("xb") as file:
                written = _copy(archive, packed, file, written, limits)  # type: ignore[arg-type]


def _copy(archive: Path, packed: BinaryIO, file: BinaryIO, written: int, limits: ArchiveLimits) -> int:
    """Copy in pieces and count: what a zip says of its sizes need not be true."""
    while piece := packed.read(_PIECE):
        written += len(piece)
        _check_amount(archive, written, 0, limits)
        file.write(piece)
    return written


def _check_amount(archive: Path, unpacked: int, files: int, limits: ArchiveLimits) -> None:
    if files > limits.max_files:
        raise PackageInvalid(f"{archive}: more than {limits.max_files} files")
    if unpacked > limits.max_bytes:
        raise PackageInvalid(f"{archive}: unpacks to more than {limits.max_bytes} bytes")
    if unpacked > _RATIO_FROM and unpacked > limits.max_ratio * archive.stat().st_size:
        raise PackageInvalid(f"{archive}: unpacks to more than {limits.max_ratio} times its size")


def _check_names(archive: Path, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or set(name) & set("\\:\0"):
            raise PackageInvalid(f"{archive}: {name!r} is not a path inside a folder")
        key = "/".join(parts).casefold()
        if key in seen:
            raise PackageInvalid(f"{archive}: {name!r} is there twice")
        seen.add(key)
