"""Names of items in an export: their paths below the one folder that holds all of them.

Two cameras may both have a `0001.jpg`; a path below a common root keeps them apart, a base name does not.
"""

from __future__ import annotations

import posixpath
from urllib.parse import unquote


class CommonRoot:
    """Grows to the deepest folder above every URI that it is told of; holds one text, however many there are."""

    def __init__(self) -> None:
        self._root: str | None = None

    @property
    def folder(self) -> str:
        """The root itself; empty if there was no URI."""
        return self._root or ""

    def add(self, uri: str) -> None:
        """Take one more URI into account."""
        folder = posixpath.dirname(_as_path(uri))
        if self._root is None:
            self._root = folder
        elif folder != self._root and not folder.startswith(self._root.rstrip("/") + "/"):
            self._root = posixpath.commonpath((self._root, folder))

    def relative(self, uri: str, frame: int = 0) -> str:
        """The path of `uri` below the root; a video's frame has its number, from 1, after `@`."""
        name = _as_path(uri).removeprefix(self._root or "").lstrip("/")
        return f"{name}@{frame}" if frame else name


def _as_path(uri: str) -> str:
    """One absolute path for each URI: `s3://bucket/a.jpg` becomes `/s3/bucket/a.jpg`; `..` never stays."""
    if uri.startswith("file://"):
        path = "/" + unquote(uri.removeprefix("file://")).lstrip("/")
    elif "://" in uri:
        path = "/" + uri.replace("://", "/", 1)
    else:
        path = "/" + uri.lstrip("/")
    return posixpath.normpath(path)
