"""Which picture of the truth an item is, by its path. Pure.

The truth names pictures by a path below a folder that it does not name, so an item is the picture whose whole path its
own ends with. Files whose pictures were moved still fit: where no item fits so, the truth's names count from the one
folder that holds all of them.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass

from producer.errors import TruthInvalid
from producer.exports.naming import CommonRoot


@dataclass(frozen=True, slots=True)
class Fit:
    """A picture of the truth that an item's path ends with; `is_whole` with its whole name."""

    name: str
    is_whole: bool


class NameTable:
    """The truth's names, by all paths under which an item may have them."""

    def __init__(self, names: Iterable[str]) -> None:
        whole = {name: _normal(name) for name in names}
        root = CommonRoot()
        for path in whole.values():
            root.add(path)
        self._whole = _inverse(whole)
        self._below = _inverse({name: root.relative(path) for name, path in whole.items()})

    def find(self, uri: str, frame: int = 0) -> Fit | None:
        """The picture whose name is the longest end of the item's path, None for a stranger."""
        parts = CommonRoot().relative(uri, frame).split("/")
        for table in (self._whole, self._below):
            for start in range(len(parts)):
                if (name := table.get("/".join(parts[start:]))) is not None:
                    return Fit(name, table is self._whole)
        return None


def _normal(name: str) -> str:
    return posixpath.normpath("/" + name.replace("\\", "/").lstrip("/")).lstrip("/")


def _inverse(paths: dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, path in paths.items():
        if (other := found.setdefault(path, name)) != name:
            raise TruthInvalid(f"the truth names one picture twice: {other!r} and {name!r}")
    return found
