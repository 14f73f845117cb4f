"""What an exporter takes and gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from producer.exports.atomic import files_below

if TYPE_CHECKING:
    from producer.exports.dataset import Dataset


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What was written.

    Attributes:
        path: the file, or the folder of a format with many files.
        items: outcomes that are in the export.
        objects: predicted objects in it.
        files: every file written, the main one first; a folder stands for all that is in it.
        problems: words for people on what is missing from it, for example a picture that could not be read again.
        url: where it was uploaded to; `path` and `files` are relative to that place then.
    """

    format: str
    path: Path
    items: int
    objects: int
    files: tuple[Path, ...]
    problems: tuple[str, ...] = ()
    url: str | None = None

    def every_file(self) -> Iterator[Path]:
        """Each file once, those of folders in the order of their names."""
        for path in self.files:
            if path.is_dir():
                yield from files_below(path)
            else:
                yield path


class Exporter(Protocol):
    """One format."""

    def __call__(self, dataset: Dataset, dest: Path) -> ExportSummary:
        """Write the dataset below the folder `dest`, which is made if need be.

        Raises:
            ExportFailed: nothing of this export is visible then.
        """
        ...


def count_objects(record: Mapping[str, Any]) -> int:
    """Boxes or masks of a record; 0 for records without any."""
    return len(record.get("xyxy") or record.get("masks") or ())


def contents(folder: Path, path: Path, main: str) -> tuple[Path, ...]:
    """What `folder` holds, as it will be called below `path`; the file `main` comes first."""
    names = sorted((each.name for each in folder.iterdir()), key=lambda name: (name != main, name))
    return tuple(path / name for name in names)
