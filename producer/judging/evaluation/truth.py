"""Labelled data in COCO's form, checked before anything is judged by them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from drawing import run_lengths
from producer.errors import TruthInvalid


class _Image(msgspec.Struct):
    id: int
    file_name: str
    width: int | None = None
    height: int | None = None


class _Category(msgspec.Struct):
    id: int
    name: str
    keypoints: list[str] = []


class _Annotation(msgspec.Struct):
    image_id: int
    category_id: int
    bbox: list[float]
    segmentation: Any = None
    keypoints: list[float] = []
    num_keypoints: int | None = None
    area: float | None = None
    iscrowd: int = 0


class _File(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


@dataclass(frozen=True, slots=True)
class Truth:
    """Labelled data.

    Attributes:
        images: name -> id.
        sizes: image id -> height and width, where the file says them.
        categories: class name -> id.
        points: class name -> names of its key points, for classes that have some.
        annotations: as COCO has them, numbered from 1, with `area` and `iscrowd`.
    """

    path: str
    images: Mapping[str, int]
    sizes: Mapping[int, tuple[int, int]]
    categories: Mapping[str, int]
    points: Mapping[str, tuple[str, ...]]
    annotations: Sequence[Mapping[str, Any]]

    @property
    def has_masks(self) -> bool:
        """Whether every object has a mask."""
        return bool(self.annotations) and all(each["segmentation"] for each in self.annotations)

    def dataset(self) -> dict[str, Any]:
        """A new dataset for an evaluator, which adds keys to its annotations."""
        return {
            "info": {},
            "images": [
                {"id": image_id, **dict(zip(("height", "width"), self.sizes.get(image_id, ()), strict=False))}
                for image_id in self.images.values()
            ],
            "annotations": [dict(each) for each in self.annotations],
            "categories": [{"id": number, "name": name} for name, number in self.categories.items()],
        }


def read_truth(path: Path) -> Truth:
    """Read and check labelled data.

    Raises:
        TruthInvalid: no such file, not COCO's form, or numbers and names that contradict each other.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_File)
    except OSError as error:
        raise TruthInvalid(f"{path} cannot be read: {error.strerror}; expected a COCO file") from error
    except msgspec.DecodeError as error:
        raise TruthInvalid(f"{path} is not in COCO's form: {error}") from error
    if not found.images or not found.categories:
        raise TruthInvalid(f"{path} has {len(found.images)} images and {len(found.categories)} categories")
    _refuse_doubles(path, "image id", (image.id for image in found.images))
    _refuse_doubles(path, "file name", (image.file_name for image in found.images))
    _refuse_doubles(path, "category id", (category.id for category in found.categories))
    _refuse_doubles(path, "category name", (category.name for category in found.categories))
    sizes = {image.id: (image.height, image.width) for image in found.images if image.height and image.width}
    return Truth(
        path=str(path),
        images={image.file_name: image.id for image in found.images},
        sizes=sizes,
        categories={category.name: category.id for category in found.categories},
        points={category.name: tuple(category.keypoints) for category in found.categories if category.keypoints},
        annotations=_annotations(path, found),
    )


def _annotations(path: Path, found: _File) -> list[dict[str, Any]]:
    """Numbered from 1: evaluators take an annotation of number 0 for one that nothing matched."""
    images = {image.id for image in found.images}
    points = {category.id: len(category.keypoints) for category in found.categories}
    listed = []
    for number, each in enumerate(found.annotations, 1):
        where = f"{path}, annotation {number}"
        if each.image_id not in images:
            raise TruthInvalid(f"{where}: image_id {each.image_id} is no image of the file")
        if each.category_id not in points:
            raise TruthInvalid(f"{where}: category_id {each.category_id} is no category of the file")
        if len(each.bbox) != 4 or not all(map(math.isfinite, each.bbox)) or min(each.bbox[2:]) < 0:
            raise TruthInvalid(f"{where}: bbox is {each.bbox}, expected left, top, width, height")
        if each.keypoints and len(each.keypoints) != 3 * points[each.category_id]:
            wanted = f"x, y and v of the {points[each.category_id]} points of its category"
            raise TruthInvalid(f"{where}: keypoints has {len(each.keypoints)} numbers, expected {wanted}")
        if each.segmentation and (problem := _wrong_mask(each.segmentation)):
            raise TruthInvalid(f"{where}: segmentation {problem}")
        listed.append(_annotation(number, each))
    return listed


def _wrong_mask(segmentation: Any) -> str:
    """What is wrong with polygons or run lengths, which evaluators read without looking; empty if nothing is."""
    if isinstance(segmentation, list):
        is_right = all(
            isinstance(polygon, list) and len(polygon) >= 6 and not len(polygon) % 2 and all(map(_is_number, polygon))
            for polygon in segmentation
        )
        return "" if is_right else "is no list of polygons: x and y of three corners or more each"
    try:
        (height, width), counts = segmentation["size"], segmentation["counts"]
        filled = sum(counts) if isinstance(counts, list) else None
        if filled is None:
            run_lengths.area(str(counts).encode("ascii"), (height, width))
        elif filled != height * width or min(counts, default=0) < 0:
            return f"has runs of {filled} pixels in an image of {height} x {width}"
    except (KeyError, TypeError, ValueError) as error:
        return f"is no mask of run lengths: {error}"
    return ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _annotation(number: int, each: _Annotation) -> dict[str, Any]:
    labelled = sum(visible > 0 for visible in each.keypoints[2::3])
    return {
        "id": number,
        "image_id": each.image_id,
        "category_id": each.category_id,
        "bbox": each.bbox,
        "segmentation": each.segmentation,
        "keypoints": each.keypoints,
        "num_keypoints": labelled if each.num_keypoints is None else each.num_keypoints,
        "area": each.bbox[2] * each.bbox[3] if each.area is None else each.area,
        "iscrowd": each.iscrowd,
    }


def _refuse_doubles(path: Path, what: str, values: Iterable[int | str]) -> None:
    value, count = Counter(values).most_common(1)[0]
    if count > 1:
        raise TruthInvalid(f"{path} has the {what} {value!r} {count} times; expected each once")
