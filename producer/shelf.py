"""The folder in which a server keeps exports until they are fetched, known by a name that lies in it.

An export that nobody gave a destination belongs where the server that is asked for it finds it. Paths cannot say where
that is: every machine has a folder of the same path, and only some of them are the same folder. So the folder has a
name of its own, and whoever reads that name in it, other servers and worker machines that share it, may make what is
kept there (docs/decisions/0031).
"""

from __future__ import annotations

import os
import re
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from jobstore.aftercare import SHELF

_NOTE = "shelf"
_NAME = re.compile(r"[0-9a-f]{32}")
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Shelf:
    """A folder and its name."""

    folder: Path
    name: str

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Give the shelf of a server's folder, which gets its name the first time.

        Raises:
            OSError: the folder cannot be written.
        """
        found = cls.find(folder)
        if found is not None:
            return found
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, part = tempfile.mkstemp(prefix=".", suffix=".part", dir=folder)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(uuid.uuid4().hex)
                os.fchmod(file.fileno(), 0o644)  # workers may be other users
            Path(folder, _NOTE).hardlink_to(part)  # whole, and by one of those who do it at once
        except FileExistsError:
            pass
        finally:
            Path(part).unlink(missing_ok=True)
        return cls(folder, Path(folder, _NOTE).read_text().strip())

    @classmethod
    def find(cls, folder: Path) -> Self | None:
        """Give the shelf of a folder, if a server keeps exports in it."""
        try:
            name = Path(folder, _NOTE).read_text().strip()
        except (OSError, ValueError):
            return None
        return cls(folder, name) if _NAME.fullmatch(name) else None

    @property
    def dest(self) -> str:
        """What an export's `dest` says that is kept here."""
        return f"{SHELF}{self.name}"

    def kept(self) -> Iterator[tuple[str, str]]:
        """Give tenant and id of every export whose files lie here, whole or not."""
        for tenant in sorted(self.folder.glob("exports/*/")):
            names = {name for each in tenant.iterdir() if _ID.fullmatch(name := each.name.removesuffix(".zip"))}
            yield from ((tenant.name, name) for name in sorted(names))

    def place(self, tenant: str, export_id: str) -> Path:
        """Give the folder of an export's files."""
        return self.folder / "exports" / tenant / export_id

    def archive(self, tenant: str, export_id: str) -> Path:
        """Give the path of the same as one zip archive."""
        return self.folder / "exports" / tenant / f"{export_id}.zip"
