"""The pictures and videos of a folder and of the folders in it, in one order on every machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from producer.errors import SourceUnreadable
from producer.sources.kinds import SourceReport, is_taken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def walk(root: str, report: SourceReport, is_inside: Callable[[str], bool]) -> Iterator[str]:
    """Give paths of pictures and videos, depth first, names in code point order.

    What begins with a dot is not looked at. A folder that several links lead to is entered once, so loops end and no
    picture comes twice. What `is_inside` denies is not entered: a link could lead anywhere.
    """
    seen = {_identity(root)}
    pending = [iter(_entries(root))]
    while pending:
        entry = next(pending[-1], None)
        if entry is None:
            pending.pop()
        elif not is_inside(entry.path):
            report.outside += 1
        elif entry.is_dir():
            identity = _identity(entry.path)
            if identity in seen:
                report.links += 1
            else:
                seen.add(identity)
                pending.append(iter(_entries(entry.path)))
        elif is_taken(entry.name) and entry.is_file():
            yield entry.path
        else:
            report.skip(entry.path)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise SourceUnreadable(
            f"{folder} cannot be listed: {error.strerror}; give it read permission, or name the folders beside it"
        ) from error
    return sorted(visible, key=lambda entry: entry.name)


def _identity(folder: str) -> tuple[int, int]:
    status = os.stat(folder)  # noqa: PTH116
    return status.st_dev, status.st_ino
