"""Local files: opened without following a name out of the allowed folders, and never anything but regular files."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from fetching.errors import FetchDenied

# A pipe without a writer would block the open for ever; a terminal must not become ours.
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class NotRegular(OSError):
    """What the path names is a folder, a pipe, a socket or a device."""


def open_regular(path: str, roots: Sequence[str] | None = None) -> tuple[int, int]:
    """Give a descriptor of a regular file, and its bytes.

    With `roots`, links are followed as long as what they lead to lies in one of them, and every folder on the way is
    opened from the one before: a link that somebody puts in between the check and the opening is refused.

    Raises:
        FetchDenied: it lies outside of the roots.
        NotRegular: it is no regular file.
        OSError: as the system gives it.
    """
    descriptor = os.open(path, _READ) if roots is None else _open_below(path, roots)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise NotRegular(f"{path} is {_kind(status.st_mode)}; expected a regular file")
    return descriptor, status.st_size


def check_inside(path: str, roots: Sequence[str] | None) -> None:
    """Refuse a path that leads, by `..` or by links, outside of the roots; it need not exist.

    Raises:
        FetchDenied: naming the roots.
    """
    if roots is not None:
        _split(path, roots)


def _split(path: str, roots: Sequence[str]) -> tuple[str, str]:
    """The root in which `path` really lies, and the way from there, both free of links."""
    real = os.path.realpath(path)
    for root in roots:
        real_root = os.path.realpath(root)
        if real == real_root or real.startswith(real_root.rstrip("/") + "/"):
            return real_root, os.path.relpath(real, real_root)
    known = ", ".join(roots) or "none"
    raise FetchDenied(f"{path} lies outside of the folders that are read here ({known}); ask the operator to list it")


def _open_below(path: str, roots: Sequence[str]) -> int:
    root, way = _split(path, roots)
    *folders, name = way.split("/")
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for step in folders:
            following = os.open(step, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = following
        return os.open(name, _READ | os.O_NOFOLLOW, dir_fd=folder)
    finally:
        os.close(folder)


def _kind(mode: int) -> str:
    names = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return names.get(stat.S_IFMT(mode), "a device")
