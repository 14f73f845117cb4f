"""One file a picture, in the pictures' own folders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from producer.exports.pictures import PictureFailed, encode, read_bytes, read_picture

if TYPE_CHECKING:
    from producer.exports.dataset import Picture

#: Endings that make way for the file's own; others, such as those of videos' frames, stay before it.
_PICTURE_ENDINGS = frozenset(
    {
        ".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".gif", ".avif", ".jp2", ".ppm",
        ".pgm", ".pbm", ".heic",
    }
)  # fmt: skip
_QUALITY = 95
#: Problems that are told one by one; the rest is counted.
_TOLD = 5


class PictureFiles:
    """Writes `gate/0001.txt` for `gate/0001.jpg`; memory does not grow with their number."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._parent: Path | None = None
        self._problems: list[str] = []
        self._untold = 0

    @property
    def problems(self) -> tuple[str, ...]:
        """What went wrong so far: the first few in words, and how many more."""
        more = (f"and {self._untold:,} more",) if self._untold else ()
        return (*self._problems, *more)

    def write(self, name: str, suffix: str, data: bytes) -> Path:
        """Write the file that belongs to a picture.

        `a.jpg` and `a.png` of one folder would share a name; the second one's file keeps the picture's ending before
        its own, and the problem is noted.
        """
        stem, ending = os.path.splitext(name)  # noqa: PTH122 - a text, not a path of this machine
        stem = stem if ending.lower() in _PICTURE_ENDINGS else name
        path, number = self._place(stem + suffix), 1
        while not _is_written(path, data):
            path = self._place(f"{name}{suffix}" if number == 1 else f"{name}-{number}{suffix}")
            number += 1
        if number > 1:
            self.note(f"{name} shares the name of its file with another picture; its own is {path.name}")
        return path

    def copy_picture(self, picture: Picture, folder: str) -> None:
        """Put the picture itself below `folder`; a frame as a JPEG. One that cannot be read any more is noted."""
        try:
            if picture.row.frame:
                data, name = encode(read_picture(picture.row), ".jpg", _QUALITY), f"{picture.name}.jpg"
            else:
                data, name = read_bytes(picture.row.uri), picture.name
        except PictureFailed as error:
            self.note(f"{picture.row.uri}: {error}")
        else:
            self._place(f"{folder}/{name}").write_bytes(data)

    def note(self, problem: str) -> None:
        """Keep a problem; only the first few of many."""
        if len(self._problems) < _TOLD:
            self._problems.append(problem)
        else:
            self._untold += 1

    def _place(self, name: str) -> Path:
        path = self._folder / name
        if path.parent != self._parent:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._parent = path.parent
        return path


def _is_written(path: Path, data: bytes) -> bool:
    """Write a new file; False if the name is taken."""
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError:
        return False
    return True
