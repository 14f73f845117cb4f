"""Who runs the embedded stack of a data folder: one process holds the lock, the others find it here and join."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING

from producer.resident import NOTE_NAME, Resident, find_resident

if TYPE_CHECKING:
    from pathlib import Path


class Claim:
    """The lock on a data folder (`embedded.lock`) and the note beside it (`embedded.json`).

    The kernel gives the lock up with its process, so a killed owner leaves nothing behind that anybody has to clean.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._note = data_dir / NOTE_NAME
        self._lock: int | None = None

    @property
    def is_held(self) -> bool:
        """Whether it is this object that holds the folder."""
        return self._lock is not None

    def take(self) -> bool:
        """Take the folder if nobody has it, and say whether it is ours."""
        if self._lock is not None:
            return True
        self._data_dir.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._data_dir / "embedded.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._note.unlink(missing_ok=True)
        self._lock = lock
        return True

    def announce(self, socket_path: Path, hardware: str | None) -> None:
        """Tell others where to join; the note appears whole or not at all."""
        draft = self._note.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(asdict(Resident(os.getpid(), str(socket_path), hardware))), encoding="utf-8")
        draft.replace(self._note)

    def resident(self) -> Resident | None:
        """Give the process that runs the stack, if there is one whose Redis answers."""
        return find_resident(self._data_dir)

    def release(self) -> None:
        """Give the folder up; does nothing where it is not ours."""
        if self._lock is None:
            return
        self._note.unlink(missing_ok=True)
        fcntl.flock(self._lock, fcntl.LOCK_UN)
        os.close(self._lock)
        self._lock = None
