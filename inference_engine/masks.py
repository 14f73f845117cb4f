"""Masks of one image's instances, kept run-length encoded: a dense megapixel mask each would fill the memory.

The encoding is COCO's compressed RLE (cocodataset/cocoapi, common/maskApi.c), so that every reader of COCO files takes
it as it is. pycocotools has it too: its encoder takes twice as long, and its decoder trusts what it reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from drawing import run_lengths
from drawing.run_lengths import Mask
from inference_engine.images import Boxes
from inference_engine.opencv import import_cv2

Polygon = npt.NDArray[np.float32]  # (points, 2): x, y


@dataclass(frozen=True, slots=True)
class InstancesRLEMasks:
    """Masks as COCO's compressed RLE.

    Attributes:
        image_hw: height and width of every mask in pixels.
        counts: one a mask, ASCII.
    """

    image_hw: tuple[int, int]
    counts: tuple[bytes, ...]

    @classmethod
    def from_dense(cls, chunks: Iterable[npt.NDArray[np.bool_]], image_hw: tuple[int, int]) -> InstancesRLEMasks:
        """Encode masks.

        Args:
            chunks: arrays `(m, height, width)`; one is looked at at a time, so a generator bounds the memory.

        Raises:
            ValueError: a chunk has another size.
        """
        counts: list[bytes] = []
        for chunk in chunks:
            if chunk.ndim != 3 or chunk.shape[1:] != image_hw:
                raise ValueError(f"expected masks (m, {image_hw[0]}, {image_hw[1]}), found {chunk.shape}")
            counts += [_counts(mask) for mask in chunk]
        return cls(image_hw, tuple(counts))

    @classmethod
    def from_coco(cls, found: Sequence[Mapping[str, Any]], image_hw: tuple[int, int]) -> InstancesRLEMasks:
        """Take COCO's `{"size": [height, width], "counts": text}`.

        Raises:
            ValueError: one is of another size.
        """
        if odd := [one["size"] for one in found if tuple(one["size"]) != image_hw]:
            raise ValueError(f"expected masks of {image_hw} (height, width), found {tuple(odd[0])}")
        return cls(image_hw, tuple(str(one["counts"]).encode("ascii") for one in found))

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, index: int) -> Mask:
        """One mask, dense.

        Raises:
            ValueError: its counts do not fill the image; nothing is decoded beyond it.
        """
        return run_lengths.decode(self.counts[index], self.image_hw)

    def __iter__(self) -> Iterator[Mask]:
        """The masks one after the other, each dense for itself."""
        return (self[index] for index in range(len(self)))

    def to_dense(self) -> npt.NDArray[np.bool_]:
        """`(n, height, width)`; as large as it sounds."""
        return np.stack(list(self)) if self.counts else np.zeros((0, *self.image_hw), dtype=np.bool_)

    def to_coco(self) -> list[dict[str, Any]]:
        """One JSON-safe `{"size": [height, width], "counts": text}` a mask."""
        return [{"size": list(self.image_hw), "counts": each.decode("ascii")} for each in self.counts]

    def areas(self) -> npt.NDArray[np.int64]:
        """Pixels of each mask, `(n,)`, without decoding it."""
        from pycocotools import mask as coco

        return np.asarray(coco.area(self.to_coco()), dtype=np.int64).reshape(-1)

    def xyxy(self) -> Boxes:
        """The boxes around the masks, `(n, 4)`, without decoding them; all zeros around an empty one."""
        from pycocotools import mask as coco

        xywh = np.asarray(coco.toBbox(self.to_coco()), dtype=np.float32).reshape(-1, 4)
        return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)

    def polygons(self, index: int) -> list[Polygon]:
        """Outlines of one mask, one a connected part, the largest first.

        They run through the middle of the outermost pixels, holes are filled, and parts that are only a dot or a line
        have none: a polygon is the lossy form of a mask.
        """
        cv2 = import_cv2()
        found, _ = cv2.findContours(self[index].view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        outlines = [outline.reshape(-1, 2).astype(np.float32) for outline in found if len(outline) > 2]
        return sorted(outlines, key=cv2.contourArea, reverse=True)


def _counts(mask: Mask) -> bytes:
    """The compressed text of one mask (rleEncode and rleToString of maskApi.c), which `drawing.run_lengths` reads."""
    flat = mask.T.reshape(-1)
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    # Zeros come first: a mask that begins with a one begins with a run of none.
    runs = np.diff(np.concatenate([[0, 0] if flat[0] else [0], edges, [flat.size]]))
    rest = runs.copy()
    rest[3:] -= runs[1:-2]
    letters, is_there = [], []
    going = np.ones(len(rest), dtype=np.bool_)
    while going.any():
        bits, rest = rest & 31, rest >> 5
        more = rest != np.where(bits & 16, -1, 0)
        letters.append(bits | more << 5)
        is_there.append(going)
        going = going & more
    text = np.stack(letters, axis=1)[np.stack(is_there, axis=1)] + 48
    return text.astype(np.uint8).tobytes()
