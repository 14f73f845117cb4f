"""Top-down key points: a box's part of the picture in, heat maps out, points of the picture back. Pure.

The cut and the decoding are those of transformers 5's VitPoseImageProcessor: an unbiased cut (arXiv 1911.07524) of the
box widened by a quarter, and DARK's refinement of the hottest pixel (arXiv 1910.06278) with a kernel of 11.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.errors import PackageInvalid
from inference_engine.images import Image
from inference_engine.tasks.keypoints import Skeleton

Numbers = npt.NDArray[np.float32]
Exact = npt.NDArray[np.float64]

#: What a pose is of; the networks are told nothing else.
PERSON = "person"
#: How much wider and higher than its box the cut is.
_WIDENED = 1.25
#: Deviation and reach of the filter over heat maps, in their pixels.
_SIGMA, _REACH = 0.8, 5
#: Bounds of a heat map before its logarithm.
_LEAST, _MOST = 0.001, 50.0
#: COCO's points of a person and the lines between them (cocodataset/cocoapi, person_keypoints annotations).
_COCO = Skeleton(
    (
        "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
        "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
        "right_ankle",
    ),
    (
        (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10),
        (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
    ),
)  # fmt: skip


def skeleton_of(config: Mapping[str, Any], where: str) -> Skeleton:
    """Names of the points (`id2label`) and the lines between them (`edges`) of a `config.json`.

    Points that have no names of their own are COCO's where there are as many, else numbered.

    Raises:
        PackageInvalid: the names or the lines are not of that form.
    """
    labels, edges = config.get("id2label"), config.get("edges") or ()
    if not isinstance(labels, Mapping) or set(labels) != {str(index) for index in range(len(labels))} or not labels:
        raise PackageInvalid(f"{where}: id2label must name the points 0, 1, 2 ..., found {labels!r:.200}")
    names = tuple(str(labels[str(index)]) for index in range(len(labels)))
    if names == tuple(f"LABEL_{index}" for index in range(len(names))):
        if len(names) == len(_COCO.names):
            return _COCO
        names = tuple(f"point_{index}" for index in range(len(names)))
    try:
        return Skeleton(names, tuple((int(first), int(last)) for first, last in edges))
    except (TypeError, ValueError) as error:
        raise PackageInvalid(
            f"{where}: edges must be pairs of point numbers, found {edges!r:.200} ({error})"
        ) from error


def cut_region(xyxy: Numbers, hw: tuple[int, int]) -> tuple[Numbers, Numbers]:
    """Centre and size `(2,)`, x first, of what is cut out for a box: of the network's ratio, and widened."""
    size = xyxy[2:] - xyxy[:2]
    centre = (xyxy[:2] + size * np.float32(0.5)).astype(np.float32)
    ratio = hw[1] / hw[0]
    width, height = float(size[0]), float(size[1])
    if width > ratio * height:
        height = width / ratio
    elif width < ratio * height:
        width = height * ratio
    return centre, np.asarray((width * _WIDENED, height * _WIDENED), dtype=np.float32)


def cut_out(image: Image, centre: Numbers, size: Numbers, hw: tuple[int, int]) -> Image:
    """A region at the network's size `(*hw, 3)` uint8, linear between pixels, black outside of the picture.

    The first and the last of the network's pixels lie on the region's edges.
    """
    rows = _places(float(centre[1]), float(size[1]), hw[0])
    columns = _places(float(centre[0]), float(size[0]), hw[1])
    found = _sampled(_sampled(image.astype(np.float64), rows).transpose(1, 0, 2), columns).transpose(1, 0, 2)
    made: Image = np.floor(found + 0.5).astype(np.uint8)
    return np.ascontiguousarray(made)


def _places(centre: float, size: float, count: int) -> Exact:
    return np.arange(count, dtype=np.float64) * (size / (count - 1)) + (centre - size / 2)


def _sampled(values: Exact, places: Exact) -> Exact:
    """Rows at any places, nothing beyond the first and the last."""
    last = len(values) - 1
    # A place on the last row itself must not fall off it by rounding.
    near = np.where(np.abs(places - last) < 1e-6, last, np.where(np.abs(places) < 1e-6, 0, places))
    low = np.clip(np.floor(near).astype(np.int64), 0, last)
    share = (near - low)[:, None, None]
    found = values[low] * (1 - share) + values[np.minimum(low + 1, last)] * share
    return np.where(((near >= 0) & (near <= last))[:, None, None], found, 0.0)


def decoded(heatmaps: Numbers, centre: Numbers, size: Numbers) -> tuple[Numbers, Numbers]:
    """Points of one box.

    Args:
        heatmaps: `(points, h, w)`.
        centre, size: of the region that was cut out.

    Returns:
        Points `(points, 2)` in pixels of the picture, and their confidences `(points,)` in [0, 1].
    """
    points, height, width = heatmaps.shape
    flat = heatmaps.reshape(points, -1)
    hottest, scores = flat.argmax(axis=1), flat.max(axis=1)
    places = np.stack([hottest % width, hottest // width], axis=1)
    # Where nothing is warm, the point is said to be before the first pixel.
    places = np.where((scores > 0)[:, None], places, -1)
    refined = places - _refinement(heatmaps, places)
    steps = size / np.asarray((width - 1, height - 1), dtype=np.float32)
    xy = refined * steps + centre - size * np.float32(0.5)
    return xy.astype(np.float32), np.clip(scores, 0, 1).astype(np.float32)


def _refinement(heatmaps: Numbers, places: npt.NDArray[np.int64]) -> Exact:
    """How far the top of the smoothed map's logarithm lies from a pixel, `(points, 2)`: one step of Newton."""
    smooth = _smoothed(_smoothed(heatmaps, 1), 2)
    warm = np.log(np.clip(smooth, _LEAST, _MOST)).astype(np.float64)
    around = np.pad(warm, ((0, 0), (1, 1), (1, 1)), mode="edge").reshape(len(warm), -1)
    stride = warm.shape[2] + 2
    index = places[:, 0] + 1 + (places[:, 1] + 1) * stride
    flat = around.reshape(-1)

    def at(dx: int, dy: int) -> Exact:
        # Before the first pixel of the first map, indices count from the end, as numpy has it.
        found: Exact = flat[index + np.arange(len(warm)) * around.shape[1] + dx + dy * stride]
        return found

    here = at(0, 0)
    gradient = np.stack([at(1, 0) - at(-1, 0), at(0, 1) - at(0, -1)], axis=1) * 0.5
    xx, yy = at(1, 0) - 2 * here + at(-1, 0), at(0, 1) - 2 * here + at(0, -1)
    xy = 0.5 * (at(1, 1) - at(1, 0) - at(0, 1) + here + here - at(-1, 0) - at(0, -1) + at(-1, -1))
    hessian = np.stack([np.stack([xx, xy], axis=1), np.stack([xy, yy], axis=1)], axis=1)
    inverse = np.linalg.inv(hessian + np.finfo(np.float32).eps * np.eye(2))
    step: Exact = np.einsum("imn,in->im", inverse, gradient)
    return step


def _smoothed(maps: Numbers, axis: int) -> Numbers:
    """A Gaussian along one axis, mirrored beyond the edges with the outermost pixel doubled."""
    weights = np.exp(-0.5 * (np.arange(-_REACH, _REACH + 1) / _SIGMA) ** 2)
    weights /= weights.sum()
    pad = [(0, 0)] * 3
    pad[axis] = (_REACH, _REACH)
    padded = np.pad(maps.astype(np.float64), pad, mode="symmetric")
    count = maps.shape[axis]
    found = np.zeros(maps.shape)
    for start, weight in enumerate(weights.tolist()):
        found += weight * np.take(padded, range(start, start + count), axis=axis)
    return found.astype(np.float32)
