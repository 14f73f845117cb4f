"""Pictures as vision-language models take them: one square, tiles, or rows of patches. Pure.

Every size and filter is `preprocessor_config.json`'s; sizes are those of transformers' own image processors of the
names below (transformers 5), pixels those of `hf_pixels`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, floor, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.errors import InputInvalid
from inference_engine.hf_pixels import normalised, resized
from inference_engine.images import Image

Steps = Mapping[str, Any]
Planes = npt.NDArray[np.float32]
#: A longer side than this many shorter ones is refused by the processors of Qwen and GLM.
_MOST_RATIO = 200


@dataclass(frozen=True, slots=True)
class Pixels:
    """One picture as its model takes it.

    Attributes:
        tensors: by the model's names, each `(1, ...)`.
        rows, columns: of patches or tiles; 0 where the picture is whole.
    """

    tensors: Mapping[str, npt.NDArray[Any]]
    rows: int = 0
    columns: int = 0


def whole(image: Image, steps: Steps) -> Pixels:
    """One picture of a fixed size: CLIP's, SigLIP's and Gemma 3's image processors."""
    return Pixels({"pixel_values": _planes(image, _fixed_hw(steps), steps)[None]})


def tiles(image: Image, steps: Steps) -> Pixels:
    """Square tiles row by row and the whole picture behind them (GotOcr2ImageProcessor, as InternVL uses it)."""
    height, width = _fixed_hw(steps)
    rows, columns = tile_grid((image.shape[0], image.shape[1]), (height, width), steps)
    planes = _planes(image, (height * rows, width * columns), steps)
    cut = _cut(planes, (height, width))
    if len(cut) > 1:
        cut = np.concatenate([cut, _planes(image, (height, width), steps)[None]])
    return Pixels({"pixel_values": cut[None]}, rows, columns)


def tile_grid(hw: tuple[int, int], tile_hw: tuple[int, int], steps: Steps) -> tuple[int, int]:
    """Rows and columns whose ratio is nearest to the picture's; of equal ones the larger, unless it is too large."""
    if not steps["crop_to_patches"] or steps["max_patches"] <= 1:
        return 1, 1
    most, least = steps["max_patches"], steps["min_patches"]
    numbers = range(1, most + 1)
    grids = [(across, down) for across in numbers for down in numbers if least <= across * down <= most]
    best, best_gap = (1, 1), float("inf")
    for across, down in sorted(grids, key=lambda grid: grid[0] * grid[1]):
        gap = abs(hw[1] / hw[0] - across / down)
        is_filled = hw[0] * hw[1] > 0.5 * tile_hw[0] * tile_hw[1] * across * down
        if gap < best_gap or (gap == best_gap and is_filled):
            best, best_gap = (across, down), gap
    return best[1], best[0]


def splits(image: Image, steps: Steps) -> Pixels:
    """The picture enlarged to whole tiles, cut, and itself as one tile behind them (SmolVLMImageProcessor)."""
    side = steps["max_image_size"]["longest_edge"]
    small = resized(image, split_hw((image.shape[0], image.shape[1]), steps["size"]["longest_edge"]), steps["resample"])
    if steps["do_image_splitting"]:
        height, width = _whole_tiles((small.shape[0], small.shape[1]), side)
        large = resized(small, (height, width), steps["resample"])
        cut = _cut(normalised(large, steps), (side, side))
        rows, columns = height // side, width // side
        if rows == columns == 1:
            rows = columns = 0
        else:
            cut = np.concatenate([cut, _planes(large, (side, side), steps)[None]])
    else:
        rows = columns = 0
        cut = _planes(small, (side, side), steps)[None]
    mask = np.ones((1, len(cut), side, side), dtype=np.int64)
    return Pixels({"pixel_values": cut[None], "pixel_attention_mask": mask}, rows, columns)


def split_hw(hw: tuple[int, int], longest: int) -> tuple[int, int]:
    """The longest side as asked, the other in proportion and even."""
    ratio = hw[1] / hw[0]
    if hw[1] >= hw[0]:
        height = int(longest / ratio)
        return max(height + height % 2, 1), longest
    width = int(longest * ratio)
    return longest, max(width + width % 2, 1)


def _whole_tiles(hw: tuple[int, int], side: int) -> tuple[int, int]:
    ratio = hw[1] / hw[0]
    if hw[1] >= hw[0]:
        width = ceil(hw[1] / side) * side
        return ceil(int(width / ratio) / side) * side, width
    height = ceil(hw[0] / side) * side
    return height, ceil(int(height * ratio) / side) * side


def patches(image: Image, steps: Steps) -> Pixels:
    """Rows of patches, those of a merged square together (Qwen2VLImageProcessor, Glm46VImageProcessor).

    `pixel_values` is `(1, patches, channels * frames * patch * patch)`, a still picture being so many equal frames.
    """
    patch, merge, frames = steps["patch_size"], steps["merge_size"], steps["temporal_patch_size"]
    height, width = patch_hw((image.shape[0], image.shape[1]), steps)
    planes = _planes(image, (height, width), steps)
    rows, columns = height // patch, width // patch
    squares = planes.reshape(3, rows // merge, merge, patch, columns // merge, merge, patch)
    squares = squares.transpose(1, 4, 2, 5, 0, 3, 6)[:, :, :, :, :, None]
    repeated = np.broadcast_to(squares, (*squares.shape[:5], frames, patch, patch))
    flat = repeated.reshape(1, rows * columns, 3 * frames * patch * patch)
    grid = np.asarray([[1, rows, columns]], dtype=np.int64)
    return Pixels({"pixel_values": flat, "image_grid_thw": grid}, rows // merge, columns // merge)


def patch_hw(hw: tuple[int, int], steps: Steps) -> tuple[int, int]:
    """Sides of whole merged patches, the picture's ratio as near as can be, as many pixels as the file allows.

    Raises:
        InputInvalid: the picture is too long for its other side.
    """
    factor = steps["patch_size"] * steps["merge_size"]
    # GLM counts the pixels of every frame that a still picture is repeated to, Qwen those of the picture.
    counted = steps["temporal_patch_size"] if steps["counts_frames"] else 1
    least, most = steps["size"]["shortest_edge"], steps["size"]["longest_edge"]
    height, width = hw
    if steps["counts_frames"] and (height < factor or width < factor):
        grow = max(factor / height, factor / width)
        height, width = int(height * grow), int(width * grow)
    if max(hw) > _MOST_RATIO * min(hw):
        raise InputInvalid(f"a picture of {hw[0]} x {hw[1]}; this model takes sides of 1 to {_MOST_RATIO} at most")
    new_h, new_w = round(height / factor) * factor, round(width / factor) * factor
    if counted * new_h * new_w > most:
        shrink = sqrt(counted * height * width / most)
        new_h = max(factor, floor(height / shrink / factor) * factor)
        new_w = max(factor, floor(width / shrink / factor) * factor)
    elif counted * new_h * new_w < least:
        grow = sqrt(least / (counted * height * width))
        new_h, new_w = ceil(height * grow / factor) * factor, ceil(width * grow / factor) * factor
    return new_h, new_w


def page(image: Image, steps: Steps) -> Pixels:
    """A page turned as the canvas lies if the file asks for it, made to fit, in the middle (DonutImageProcessor)."""
    height, width = _fixed_hw(steps)
    if steps["do_align_long_axis"] and (height - width) * (image.shape[0] - image.shape[1]) < 0:
        image = np.ascontiguousarray(np.rot90(image, 3))
    short, long = min(image.shape[:2]), max(image.shape[:2])
    edge = min(height, width)
    other = int(edge * long / short)
    hw = (edge, other) if image.shape[0] <= image.shape[1] else (other, edge)
    image = resized(resized(image, hw, steps["resample"]), _thumbnail(hw, (height, width)), steps["resample"])
    top, left = (height - image.shape[0]) // 2, (width - image.shape[1]) // 2
    canvas = np.zeros((height, width, 3), dtype=np.uint8)
    canvas[top : top + image.shape[0], left : left + image.shape[1]] = image
    return Pixels({"pixel_values": normalised(canvas, steps)[None]})


def _thumbnail(hw: tuple[int, int], most_hw: tuple[int, int]) -> tuple[int, int]:
    """No side longer than allowed, the ratio kept by the longer one."""
    height, width = min(hw[0], most_hw[0]), min(hw[1], most_hw[1])
    if (height, width) == hw:
        return hw
    if hw[0] > hw[1]:
        return height, int(hw[1] * height / hw[0])
    return (int(hw[0] * width / hw[1]), width) if hw[1] > hw[0] else (height, width)


def _planes(image: Image, hw: tuple[int, int], steps: Steps) -> Planes:
    return normalised(resized(image, hw, steps["resample"]), steps)


def _cut(planes: Planes, hw: tuple[int, int]) -> Planes:
    """`(tiles, 3, height, width)`, row by row."""
    rows, columns = planes.shape[1] // hw[0], planes.shape[2] // hw[1]
    squares = planes.reshape(3, rows, hw[0], columns, hw[1]).transpose(1, 3, 0, 2, 4)
    return squares.reshape(-1, 3, *hw)


def _fixed_hw(steps: Steps) -> tuple[int, int]:
    return steps["size"]["height"], steps["size"]["width"]
