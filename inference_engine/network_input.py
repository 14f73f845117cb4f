"""What a network's input is made of: the picture's part, its pixels, its size, and its arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf, isfinite
from typing import Any

from inference_engine.config_fields import check_known, flag, is_number, one_of, positive, section, size
from inference_engine.errors import PackageInvalid, ParameterInvalid


class ResizeMode(StrEnum):
    """How a picture is fitted into the network's input."""

    LETTERBOX = "letterbox"  # keep the aspect ratio, pad the rest
    LETTERBOX_REFLECT = "letterbox-reflect-edges"  # the same, the rest mirrors the picture at its edges
    STRETCH = "stretch"  # fill the input, change the aspect ratio
    CENTER_CROP = "center-crop"  # no scaling: the middle of the picture, padded where it is smaller
    SHORT_EDGE_CROP = "short-edge-center-crop"  # keep the aspect ratio, fill the input, cut what stands out
    FIT_LONGER_EDGE = "fit-longer-edge"  # keep the aspect ratio, pad nothing: the input's size follows the picture


class Contrast(StrEnum):
    """Contrast steps, spelled as the file spells them."""

    ADAPTIVE = "Adaptive Equalization"  # CLAHE
    STRETCHING = "Contrast Stretching"  # percentiles 2 to 98 fill the range
    EQUALIZATION = "Histogram Equalization"  # every grey as frequent as the next


@dataclass(frozen=True, slots=True)
class Crop:
    """The part of every picture that is looked at, in percent of its width and height."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float


@dataclass(frozen=True, slots=True)
class NetworkInput:
    """Pixels, geometry and arithmetic of the network's input, in the order in which they are applied.

    Attributes:
        hw: height and width in pixels.
        color_mode: channel order that the network was trained with, `rgb` or `bgr`.
        padding_value: grey of the border, 0 to 255, before scaling.
        scaling_factor: pixels are divided by it.
        mean: subtracted after scaling, one a channel of `color_mode`; None: nothing.
        std: divided by after the mean.
        crop: part of the picture that is looked at; None: all of it.
        grayscale: three equal channels of luma.
        contrast: how contrast is raised; None: not at all.
        dataset_hw: height and width that pictures are stretched to before anything else is done to their size, as the
            training data were; None: they are not.
        is_dynamic: the network takes other heights and widths too.
        divisor: both are multiples of it where `is_dynamic`.
        antialias: smooth while shrinking, as Pillow's bilinear filter does; OpenCV's, the usual one, takes four pixels
            however many there are.
    """

    hw: tuple[int, int]
    resize_mode: ResizeMode = ResizeMode.LETTERBOX
    color_mode: str = "rgb"
    padding_value: int = 114
    scaling_factor: float = 255.0
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    crop: Crop | None = None
    grayscale: bool = False
    contrast: Contrast | None = None
    dataset_hw: tuple[int, int] | None = None
    is_dynamic: bool = False
    divisor: int = 1
    antialias: bool = False


def with_size(network: NetworkInput, hw: tuple[int, int]) -> NetworkInput:
    """The same input at another size, rounded up to what the network divides.

    Raises:
        ParameterInvalid: the network has one size only.
    """
    if not network.is_dynamic and hw != network.hw:
        raise ParameterInvalid(f"the network takes {network.hw} (height, width) only, not {hw}")
    return replace(network, hw=round_up(hw, network.divisor)) if network.is_dynamic else network


def round_up(hw: tuple[int, int], divisor: int) -> tuple[int, int]:
    """The next multiples at or above."""
    return -(-hw[0] // divisor) * divisor, -(-hw[1] // divisor) * divisor


#: What both sides of a rectangular input are multiples of where the configuration does not say: the stride of the
#: coarsest map of the usual detectors (ultralytics 8.x pads to it as well).
RECTANGULAR_DIVISOR = 32
#: Shapes that rectangular inputs may have: each one has its buffers, kernels and waiting images.
MOST_SHAPES = 48


def rectangular(network: NetworkInput) -> NetworkInput | None:
    """The same letterbox with no more padding than the divisor asks for; None where the network's input has one shape.

    The longer side stays what it was, so no picture is scaled otherwise; the divisor grows until there are few shapes.
    """
    if not network.is_dynamic or network.resize_mode is not ResizeMode.LETTERBOX:
        return None
    divisor = network.divisor if network.divisor > 1 else RECTANGULAR_DIVISOR
    while sum(network.hw) // divisor - 1 > MOST_SHAPES:
        divisor *= 2
    if any(side % divisor for side in network.hw):
        return None
    return replace(network, resize_mode=ResizeMode.FIT_LONGER_EDGE, divisor=divisor)


_INPUT_KEYS = {
    "training_input_size",
    "dataset_version_resize_dimensions",
    "dynamic_spatial_size_supported",
    "dynamic_spatial_size_mode",
    "color_mode",
    "resize_mode",
    "padding_value",
    "input_channels",
    "scaling_factor",
    "normalization",
    "antialias",
}


def parse_network_input(steps: Mapping[str, Any], data: Mapping[str, Any], where: str) -> NetworkInput:
    """Check and read the sections `image_pre_processing` and `network_input`.

    Raises:
        PackageInvalid: a key is unknown, has a wrong value, or asks for what is not implemented.
    """
    check_known(data, _INPUT_KEYS, f"{where}: network_input")
    if data.get("input_channels", 3) != 3:
        raise PackageInvalid(f"{where}: input_channels is {data['input_channels']}, only 3 is implemented")
    hw = size(data.get("training_input_size"), "network_input.training_input_size", where)
    dataset = data.get("dataset_version_resize_dimensions")
    mean, std = _normalization(data.get("normalization"), where)
    is_dynamic, divisor = _dynamic(data, where)
    crop, grayscale, contrast = _steps(steps, where)
    return NetworkInput(
        hw=round_up(hw, divisor),
        resize_mode=ResizeMode(one_of(data.get("resize_mode", "letterbox"), tuple(ResizeMode), "resize_mode", where)),
        color_mode=one_of(data.get("color_mode", "rgb"), ("rgb", "bgr"), "color_mode", where),
        # An absent padding value means black, as the file's other readers take it.
        padding_value=int(one_of(data.get("padding_value") or 0, range(256), "padding_value", where)),
        scaling_factor=_scaling(data.get("scaling_factor"), where),
        mean=mean,
        std=std,
        crop=crop,
        grayscale=grayscale,
        contrast=contrast,
        dataset_hw=None if dataset is None else size(dataset, "dataset_version_resize_dimensions", where),
        is_dynamic=is_dynamic,
        divisor=divisor,
        antialias=flag(data.get("antialias"), "network_input.antialias", where),
    )


def _steps(steps: Mapping[str, Any], where: str) -> tuple[Crop | None, bool, Contrast | None]:
    """The enabled steps. Upright pixels are what every image arrives as, so `auto-orient` holds already."""
    enabled = {name: step for name, step in steps.items() if _is_enabled(name, step, where)}
    check_known(enabled, {"auto-orient", "static-crop", "contrast", "grayscale"}, f"{where}: image_pre_processing")
    contrast = enabled.get("contrast")
    kind = None if contrast is None else one_of(contrast.get("type"), tuple(Contrast), "contrast.type", where)
    return (
        _crop(enabled["static-crop"], f"{where}: static-crop") if "static-crop" in enabled else None,
        "grayscale" in enabled,
        kind and Contrast(kind),
    )


def _is_enabled(name: str, step: Any, where: str) -> bool:
    if step is None:
        return False
    if not isinstance(step, Mapping):
        raise PackageInvalid(f"{where}: image_pre_processing.{name} must be an object, found {step!r}")
    return flag(step.get("enabled"), f"image_pre_processing.{name}.enabled", where, default=True)


def _crop(step: Mapping[str, Any], where: str) -> Crop | None:
    check_known(step, {"enabled", "x_min", "x_max", "y_min", "y_max"}, where)
    values: list[Any] = [step.get(name) for name in ("x_min", "y_min", "x_max", "y_max")]
    if not all(is_number(value) and 0 <= value <= 100 for value in values):
        raise PackageInvalid(f"{where}: x_min, y_min, x_max and y_max must be percent, 0 to 100, found {values}")
    crop = Crop(*map(float, values))
    if crop.x_min >= crop.x_max or crop.y_min >= crop.y_max:
        raise PackageInvalid(f"{where}: nothing lies between the minimum and the maximum: {crop}")
    return None if crop == Crop(0, 0, 100, 100) else crop


def _dynamic(data: Mapping[str, Any], where: str) -> tuple[bool, int]:
    """Whether other sizes are taken, and what both sides are multiples of."""
    mode = section(data, "dynamic_spatial_size_mode", where)
    check_known(mode, {"type", "value"}, f"{where}: dynamic_spatial_size_mode")
    if not flag(data.get("dynamic_spatial_size_supported"), "dynamic_spatial_size_supported", where):
        return False, 1
    kind = one_of(mode.get("type", "any-size"), ("any-size", "pad-to-be-divisible"), "dynamic_spatial_size_mode", where)
    if kind == "any-size":
        return True, 1
    return True, positive(mode.get("value"), "dynamic_spatial_size_mode.value", where)


Triple = tuple[float, float, float]


def _normalization(value: Any, where: str) -> tuple[Triple | None, Triple | None]:
    if value is None:
        return None, None
    try:
        (m0, m1, m2), (s0, s1, s2) = value
        mean, std = (float(m0), float(m1), float(m2)), (float(s0), float(s1), float(s2))
    except (TypeError, ValueError) as error:
        raise PackageInvalid(f"{where}: normalization must be [[3 means], [3 deviations]], found {value!r}") from error
    if 0.0 in std or not all(map(isfinite, mean + std)):
        raise PackageInvalid(f"{where}: normalization needs finite numbers and no deviation of 0, found {value!r}")
    return mean, std


def _scaling(value: Any, where: str) -> float:
    if value is None:
        return 1.0
    if not is_number(value) or not 0 < value < inf:
        raise PackageInvalid(f"{where}: scaling_factor must be a number above 0, found {value!r}")
    return float(value)
