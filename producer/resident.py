"""The process that runs Redis for a data folder on this machine, found by the note that it leaves there."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SOCKET_SCHEME = "redis+socket://"
#: The note's name in the data folder; it is written by `nightshift.claim`.
NOTE_NAME = "embedded.json"


@dataclass(frozen=True, slots=True)
class Resident:
    """What the process that runs the stack says of itself.

    Attributes:
        socket_path: where its Redis listens.
        hardware: the class that its workers serve; None when it runs no workers.
    """

    pid: int
    socket_path: str
    hardware: str | None

    @property
    def broker_url(self) -> str:
        """The broker URL for Celery."""
        return f"{SOCKET_SCHEME}{self.socket_path}"


def find_resident(data_dir: Path) -> Resident | None:
    """Give the process that runs the stack of a data folder, if there is one whose Redis answers."""
    try:
        found = Resident(**json.loads((data_dir / NOTE_NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return found if ping(found.socket_path) else None


def ping(socket_path: str | Path, timeout_s: float = 1.0) -> bool:
    """Say whether a Redis answers on this unix socket."""
    return ask(socket_path, "PING", timeout_s).startswith("+PONG")


def ask(socket_path: str | Path, command: str, timeout_s: float = 1.0) -> str:
    """Give the first bytes of Redis's answer to an inline command, or nothing where nobody answers."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.connect(str(socket_path))
            connection.sendall(f"{command}\r\n".encode())
            return connection.recv(4096).decode(errors="replace")
        except OSError:
            return ""
