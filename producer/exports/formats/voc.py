"""Pascal VOC: `voc/Annotations/`, an XML file a picture in the pictures' own folders.

Boxes count pixels from 0 and have fractions, as CVAT and LabelImg write them; the challenge's own files of 2012 count
from 1. The score is `confidence`, which most readers ignore.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from producer.exports.atomic import atomic_folder
from producer.exports.markup import number, text
from producer.exports.picture_files import PictureFiles
from producer.exports.records import Kind, instances
from producer.exports.summary import ExportSummary, contents

if TYPE_CHECKING:
    from pathlib import Path

    from producer.exports.dataset import Dataset, Picture
    from producer.exports.records import Instance

TAKES = {Kind.BOXES, Kind.MASKS}
_INDEX = "labels.txt"


def export(dataset: Dataset, dest: Path) -> ExportSummary:
    """Write `dest/voc`, with the classes' names in `labels.txt`."""
    path, items, objects = dest / "voc", 0, 0
    with atomic_folder(path, _INDEX) as folder:
        files = PictureFiles(folder)
        (folder / "Annotations").mkdir()
        names = [name for _, name in sorted(dataset.survey.class_names.items())]
        (folder / _INDEX).write_text("".join(f"{' '.join(name.split())}\n" for name in names), encoding="utf-8")
        for picture in dataset.pictures():
            found = [_object(instance) for instance in instances(picture.record)]
            files.write(f"Annotations/{picture.name}", ".xml", _page(picture, found).encode("utf-8"))
            if dataset.options.with_images:
                files.copy_picture(picture, "JPEGImages")
            items, objects = items + 1, objects + len(found)
        written = contents(folder, path, _INDEX)
    return ExportSummary("voc", path, items, objects, written, files.problems)


def _page(picture: Picture, objects: list[str]) -> str:
    width, height = picture.wh
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotation>\n'
        f"  <folder>{text(posixpath.dirname(picture.name))}</folder>\n"
        f"  <filename>{text(picture.name)}</filename>\n"
        "  <source><database>nightshift</database></source>\n"
        f"  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>\n"
        f"  <segmented>0</segmented>\n{''.join(objects)}</annotation>\n"
    )


def _object(instance: Instance) -> str:
    corners = zip(("xmin", "ymin", "xmax", "ymax"), instance.xyxy, strict=True)
    box = "".join(f"<{name}>{number(value)}</{name}>" for name, value in corners)
    score = "" if instance.confidence is None else f"<confidence>{instance.confidence:.6f}</confidence>"
    return (
        f"  <object><name>{text(instance.class_name)}</name><pose>Unspecified</pose><truncated>0</truncated>"
        f"<difficult>0</difficult>{score}<bndbox>{box}</bndbox></object>\n"
    )
