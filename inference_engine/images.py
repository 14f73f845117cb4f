"""Pixels to network input and coordinates back. Pure; nothing here knows a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from inference_engine.network_input import NetworkInput, ResizeMode, round_up
from inference_engine.opencv import import_cv2
from inference_engine.pixels import Image, adjust, crop_box

__all__ = [
    "Boxes",
    "Fit",
    "Image",
    "network_hw",
    "plan_fit",
    "points_to_original",
    "to_network",
    "to_original",
]

Boxes = npt.NDArray[np.float32]  # (n, 4): x_min, y_min, x_max, y_max
Planes = npt.NDArray[np.float32]  # (3, height, width)


@dataclass(frozen=True, slots=True)
class Fit:
    """How an image was fitted: `network = (original - offset) * scale + pad`, per axis.

    Attributes:
        scale_xy: network pixels an original pixel, along x and y.
        pad_xy: network pixels left of and above the picture; negative where its border was cut away.
        original_hw: height and width of the original in pixels.
        offset_xy: original pixels left of and above the static crop.
        crop_hw: height and width of the static crop in original pixels; None: the whole picture.
    """

    scale_xy: tuple[float, float]
    pad_xy: tuple[int, int]
    original_hw: tuple[int, int]
    offset_xy: tuple[int, int] = (0, 0)
    crop_hw: tuple[int, int] | None = None


def plan_fit(original_hw: tuple[int, int], network: NetworkInput) -> tuple[Fit, tuple[int, int]]:
    """Decide where the picture goes: the fit, and the resized picture's height and width.

    The letterbox keeps the aspect ratio and centres the picture; the rest is padding. Sides are rounded, not cut:
    cutting loses a pixel of a 640 network for 113 of the widths up to 8192 (77, 154, 303 ...).
    """
    left, top, right, bottom = crop_box(original_hw, network.crop)
    height, width = bottom - top, right - left
    new_h, new_w = _resized(network.dataset_hw or (height, width), network)
    net_h, net_w = _canvas((new_h, new_w), network)
    pad_x, pad_y = _margin(net_w, new_w, network), _margin(net_h, new_h, network)
    # The ratio of the rounded sides is what the resize really did; the exact one is up to half a network pixel off.
    scale = new_w / width, new_h / height
    if network.crop is None:
        return Fit(scale, (pad_x, pad_y), original_hw), (new_h, new_w)
    return Fit(scale, (pad_x, pad_y), original_hw, (left, top), (height, width)), (new_h, new_w)


def to_network(
    image: Image, network: NetworkInput, out: npt.NDArray[np.float32] | None = None
) -> tuple[npt.NDArray[np.float32], Fit]:
    """Crop, adjust, resize, pad, order channels, scale and normalise one picture.

    Args:
        image: `(H, W, 3)` uint8 RGB.
        out: `(1, 3, height, width)` float32 to write into, such as one place of a batch; None: a new one.

    Returns:
        `(1, 3, height, width)` float32, owned by the caller, and how the picture lies in it.
    """
    fit, (new_h, new_w) = plan_fit((image.shape[0], image.shape[1]), network)
    image = adjust(image, network)
    if network.dataset_hw is not None:
        image = _resize(image, network.dataset_hw, network)
    image = _resize(image, (new_h, new_w), network)
    net_h, net_w = _canvas((new_h, new_w), network)
    left, top = fit.pad_xy
    if left < 0 or top < 0:
        image = image[max(-top, 0) : max(-top, 0) + net_h, max(-left, 0) : max(-left, 0) + net_w]
        left, top = max(left, 0), max(top, 0)
    if network.resize_mode is ResizeMode.LETTERBOX_REFLECT:
        image, left, top = _reflected(image, (top, left), (net_h, net_w)), 0, 0
    planes = np.empty((1, 3, net_h, net_w), dtype=np.float32) if out is None else out
    _write(image, (top, left), network, planes[0])
    return planes, fit


def network_hw(fit: Fit, network: NetworkInput) -> tuple[int, int]:
    """Height and width of the network's input that one picture was fitted into."""
    height, width = fit.crop_hw or fit.original_hw
    return _canvas((round(height * fit.scale_xy[1]), round(width * fit.scale_xy[0])), network)


def to_original(xyxy: Boxes, fit: Fit) -> Boxes:
    """Map boxes from network pixels to pixels of the original image, clipped to it.

    Args:
        xyxy: `(n, 4)`.
    """
    # A head may give a negative size, whose corners come the other way round.
    return np.sort(points_to_original(xyxy.reshape(-1, 2, 2), fit), axis=1).reshape(-1, 4)


def points_to_original(xy: npt.NDArray[np.float32], fit: Fit) -> npt.NDArray[np.float32]:
    """Map points from network pixels to pixels of the original image, clipped to it.

    Args:
        xy: `(..., 2)`.
    """
    pad, scale, offset = (np.asarray(pair, dtype=np.float32) for pair in (fit.pad_xy, fit.scale_xy, fit.offset_xy))
    limit = np.asarray(fit.original_hw[::-1], dtype=np.float32)
    original: npt.NDArray[np.float32] = np.clip((xy - pad) / scale + offset, np.float32(0), limit)
    return original.astype(np.float32, copy=False)


def _resized(hw: tuple[int, int], network: NetworkInput) -> tuple[int, int]:
    """Height and width of the picture after its resize."""
    if network.resize_mode is ResizeMode.STRETCH:
        return network.hw
    if network.resize_mode is ResizeMode.CENTER_CROP:
        return hw
    if network.resize_mode is ResizeMode.SHORT_EDGE_CROP:
        return _covering(hw, network.hw)
    scale = min(network.hw[0] / hw[0], network.hw[1] / hw[1])
    return max(1, round(hw[0] * scale)), max(1, round(hw[1] * scale))


def _covering(hw: tuple[int, int], network_hw: tuple[int, int]) -> tuple[int, int]:
    """The smallest size of the same aspect ratio that fills the input; the longer side is cut to whole pixels.

    That is what `Resize` of a number does in the transforms that classifiers are trained with (torchvision 0.x,
    `_compute_resized_output_size`).
    """
    by_height, by_width = network_hw[0] / hw[0], network_hw[1] / hw[1]
    if by_height >= by_width:
        return network_hw[0], max(network_hw[1], int(network_hw[0] * hw[1] / hw[0]))
    return max(network_hw[0], int(network_hw[1] * hw[0] / hw[1])), network_hw[1]


def _canvas(new_hw: tuple[int, int], network: NetworkInput) -> tuple[int, int]:
    """Height and width of the network's input for a picture of this size."""
    follows = network.resize_mode is ResizeMode.FIT_LONGER_EDGE
    return round_up(new_hw, network.divisor) if follows else network.hw


def _margin(space: int, size: int, network: NetworkInput) -> int:
    """Space before the picture, or, negative, what is cut from it.

    An odd pixel goes to the far side in both, but in the crop after a resize to the nearer even half, as torchvision's
    `CenterCrop` rounds it.
    """
    if network.resize_mode is ResizeMode.SHORT_EDGE_CROP:
        return -round((size - space) / 2)
    return (space - size) // 2 if size <= space else -((size - space) // 2)


def _resize(image: Image, hw: tuple[int, int], network: NetworkInput) -> Image:
    if image.shape[:2] == hw:
        return image
    if network.antialias:
        from PIL import Image as Pictures

        return np.asarray(Pictures.fromarray(image).resize((hw[1], hw[0]), Pictures.Resampling.BILINEAR))
    cv2 = import_cv2()
    resized: Image = cv2.resize(image, (hw[1], hw[0]), interpolation=cv2.INTER_LINEAR)
    return resized


def _reflected(image: Image, corner: tuple[int, int], hw: tuple[int, int]) -> Image:
    """Fill the border with the picture's mirror image; its outermost pixels are not doubled."""
    cv2 = import_cv2()
    top, left = corner
    bottom, right = hw[0] - top - image.shape[0], hw[1] - left - image.shape[1]
    bordered: Image = cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_REFLECT_101)
    return bordered


def _write(image: Image, corner: tuple[int, int], network: NetworkInput, planes: Planes) -> None:
    """Write the picture's channels, scaled and normalised, and the border around it."""
    factor, offset, border = _arithmetic(network)
    top, left = corner
    height, width = image.shape[:2]
    _pad(planes, (top, left, height, width), border)
    # Splitting the bytes first is faster than three passes over interleaved ones.
    channels = import_cv2().split(image)
    for channel, plane, by, plus in zip(_ordered(channels, network), planes, factor, offset, strict=True):
        _scale(channel, by, plus, plane[top : top + height, left : left + width])


def _scale(channel: npt.NDArray[np.uint8], factor: float, offset: float, out: npt.NDArray[np.float32]) -> None:
    """`channel * factor + offset` in one pass; OpenCV writes into the view where its rows are whole."""
    cv2 = import_cv2()
    if cv2.addWeighted(channel, factor, channel, 0.0, offset, dst=out, dtype=cv2.CV_32F) is not out:
        np.multiply(channel, np.float32(factor), out=out, dtype=np.float32)
        out += np.float32(offset)


def _ordered(channels: Sequence[npt.NDArray[np.uint8]], network: NetworkInput) -> Sequence[npt.NDArray[np.uint8]]:
    return channels if network.color_mode == "rgb" else channels[::-1]


@lru_cache(maxsize=64)
def _arithmetic(network: NetworkInput) -> tuple[tuple[float, ...], tuple[float, ...], npt.NDArray[np.float32]]:
    """`(pixel / scaling - mean) / std` as one multiplication and one addition a channel, and the border's values."""
    mean = np.asarray(network.mean or (0.0, 0.0, 0.0))
    std = np.asarray(network.std or (1.0, 1.0, 1.0))
    factor, offset = 1.0 / (network.scaling_factor * std), -mean / std
    border = (network.padding_value * factor + offset).astype(np.float32)
    border.flags.writeable = False
    return tuple(factor.tolist()), tuple(offset.tolist()), border


def _pad(planes: Planes, inside: tuple[int, int, int, int], value: npt.NDArray[np.float32]) -> None:
    """Fill only the border: writing the whole canvas first costs as much as the picture itself."""
    top, left, height, width = inside
    border = value[:, None, None]
    planes[:, :top] = border
    planes[:, top + height :] = border
    planes[:, top : top + height, :left] = border
    planes[:, top : top + height, left + width :] = border
