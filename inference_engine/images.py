"""Pixels to network input and coordinates back. Pure; nothing here knows a model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference_engine.inference_config import NetworkInput, ResizeMode
from inference_engine.opencv import import_cv2

Image = npt.NDArray[np.uint8]  # (H, W, 3), RGB
Boxes = npt.NDArray[np.float32]  # (n, 4): x_min, y_min, x_max, y_max


@dataclass(frozen=True, slots=True)
class Fit:
    """How an image was fitted: `network = original * scale + pad`, per axis.

    Attributes:
        scale_xy: network pixels an original pixel, along x and y.
        pad_xy: network pixels left of and above the picture.
        original_hw: height and width of the original in pixels.
    """

    scale_xy: tuple[float, float]
    pad_xy: tuple[int, int]
    original_hw: tuple[int, int]


def plan_fit(original_hw: tuple[int, int], network: NetworkInput) -> tuple[Fit, tuple[int, int]]:
    """Decide where the picture goes: the fit, and the resized picture's height and width.

    The letterbox keeps the aspect ratio and centres the picture; the rest is padding. Sides are rounded, not cut:
    cutting loses a pixel of a 640 network for 113 of the widths up to 8192 (77, 154, 303 ...).
    """
    (height, width), (net_h, net_w) = original_hw, network.hw
    if network.resize_mode is ResizeMode.STRETCH:
        return Fit((net_w / width, net_h / height), (0, 0), original_hw), (net_h, net_w)
    scale = min(net_h / height, net_w / width)
    new_h, new_w = max(1, round(height * scale)), max(1, round(width * scale))
    # The ratio of the rounded sides is what the resize really did; `scale` is off by up to half a pixel in the network.
    return Fit((new_w / width, new_h / height), ((net_w - new_w) // 2, (net_h - new_h) // 2), original_hw), (
        new_h,
        new_w,
    )


def to_network(image: Image, network: NetworkInput) -> tuple[npt.NDArray[np.float32], Fit]:
    """Resize, pad, order channels, scale and normalise one picture.

    Args:
        image: `(H, W, 3)` uint8 RGB.

    Returns:
        `(1, 3, height, width)` float32, owned by the caller, and how the picture lies in it.
    """
    fit, (new_h, new_w) = plan_fit((image.shape[0], image.shape[1]), network)
    if (new_h, new_w) != image.shape[:2]:
        image = import_cv2().resize(image, (new_w, new_h), interpolation=import_cv2().INTER_LINEAR)
    factor, offset = _arithmetic(network)
    left, top = fit.pad_xy
    planes = np.empty((1, 3, *network.hw), dtype=np.float32)
    _pad(planes[0], (top, left, new_h, new_w), network.padding_value * factor + offset)
    order = (0, 1, 2) if network.color_mode == "rgb" else (2, 1, 0)
    for target, source in enumerate(order):
        inside = planes[0, target, top : top + new_h, left : left + new_w]
        np.multiply(image[:, :, source], factor[target], out=inside, dtype=np.float32)
        if offset[target]:
            inside += offset[target]
    return planes, fit


def to_original(xyxy: Boxes, fit: Fit) -> Boxes:
    """Map boxes from network pixels to pixels of the original image, clipped to it.

    Args:
        xyxy: `(n, 4)`.
    """
    pad = np.asarray(fit.pad_xy * 2, dtype=np.float32)
    scale = np.asarray(fit.scale_xy * 2, dtype=np.float32)
    height, width = fit.original_hw
    limit = np.asarray((width, height, width, height), dtype=np.float32)
    original: Boxes = np.clip((xyxy - pad) / scale, np.float32(0), limit).astype(np.float32, copy=False)
    return original


def _arithmetic(network: NetworkInput) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """`(pixel / scaling - mean) / std` as one multiplication and one addition a channel."""
    mean = np.asarray(network.mean or (0.0, 0.0, 0.0))
    std = np.asarray(network.std or (1.0, 1.0, 1.0))
    return (1.0 / (network.scaling_factor * std)).astype(np.float32), (-mean / std).astype(np.float32)


def _pad(planes: npt.NDArray[np.float32], inside: tuple[int, int, int, int], value: npt.NDArray[np.float32]) -> None:
    """Fill only the border: writing the whole canvas first costs as much as the picture itself."""
    top, left, height, width = inside
    border = value[:, None, None]
    planes[:, :top] = border
    planes[:, top + height :] = border
    planes[:, top : top + height, :left] = border
    planes[:, top : top + height, left + width :] = border
