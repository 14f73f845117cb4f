"""Which packages running processes have open: a shared lock a process, which ends with it, however it ends.

POSIX `flock`: the kernel frees it on kill -9, so that there is no stale mark to clean up.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NOT_WRITABLE = frozenset({errno.EROFS, errno.EACCES})
_held: dict[Path, int] = {}
_guard = threading.Lock()


def hold(path: Path) -> None:
    """Mark as in use until this process ends; its modification time says when it was used last.

    Where nothing can be written there is no mark: whoever could remove the package does not work through this folder.
    """
    with _guard:
        try:
            if path not in _held:
                path.parent.mkdir(parents=True, exist_ok=True)
                handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                fcntl.flock(handle, fcntl.LOCK_SH)
                _held[path] = handle
            os.utime(_held[path])
        except OSError as error:
            if error.errno not in _NOT_WRITABLE:
                raise


@contextmanager
def unused(path: Path) -> Iterator[bool]:
    """Keep others from taking it up meanwhile; gives False at once where somebody, this process included, has it.

    So it does where nothing can be written, and thus nothing removed.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in _NOT_WRITABLE:
            raise
        yield False
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def last_use(path: Path) -> float:
    """Seconds since 1970, 0.0 where it was never used."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
