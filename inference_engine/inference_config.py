"""`inference_config.json`: what happens to pixels before the network and to its outputs after it.

The file's keys are those of the peer library (reference: its local packages). Every key is applied or refused:
a key that was silently ignored would change results without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import inf, isfinite
from typing import Any

from inference_engine.errors import PackageInvalid


class ResizeMode(StrEnum):
    """How a picture is fitted into the network's input."""

    LETTERBOX = "letterbox"  # keep the aspect ratio, pad the rest
    STRETCH = "stretch"  # fill the input, change the aspect ratio


@dataclass(frozen=True, slots=True)
class NetworkInput:
    """Geometry and arithmetic of the network's input.

    Attributes:
        hw: height and width in pixels.
        color_mode: channel order that the network was trained with, `rgb` or `bgr`.
        padding_value: grey of the letterbox's border, 0 to 255, before scaling.
        scaling_factor: pixels are divided by it.
        mean: subtracted after scaling, one a channel of `color_mode`; None: nothing.
        std: divided by after the mean.
    """

    hw: tuple[int, int]
    resize_mode: ResizeMode = ResizeMode.LETTERBOX
    color_mode: str = "rgb"
    padding_value: int = 114
    scaling_factor: float = 255.0
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class NmsDefaults:
    """What post-processing uses where a call says nothing."""

    confidence: float = 0.4
    iou_threshold: float = 0.5
    max_detections: int = 300
    class_agnostic: bool = False


@dataclass(frozen=True, slots=True)
class InferenceConfig:
    """The whole file, checked."""

    network_input: NetworkInput
    nms: NmsDefaults = NmsDefaults()
    static_batch_size: int | None = None
    max_batch_size: int | None = None


def parse_inference_config(data: Mapping[str, Any], where: str) -> InferenceConfig:
    """Check and apply the defaults of `inference_config.json`.

    Args:
        data: the parsed JSON object.
        where: the file's name, for messages.

    Raises:
        PackageInvalid: a key is unknown, has a wrong value, or asks for what is not implemented.
    """
    _known(data, {"image_pre_processing", "network_input", "forward_pass", "post_processing"}, where)
    _refuse_enabled(section(data, "image_pre_processing", where), where)
    forward = section(data, "forward_pass", where)
    _known(forward, {"static_batch_size", "max_dynamic_batch_size"}, f"{where}: forward_pass")
    return InferenceConfig(
        network_input=_network_input(section(data, "network_input", where), where),
        nms=_nms(section(data, "post_processing", where), where),
        static_batch_size=optional_count(forward.get("static_batch_size"), "static_batch_size", where),
        max_batch_size=optional_count(forward.get("max_dynamic_batch_size"), "max_dynamic_batch_size", where),
    )


def section(data: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    """The JSON object below a key; empty where the key is absent or null.

    Raises:
        PackageInvalid: something else stands there.
    """
    value = data.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise PackageInvalid(f"{where}: {key} must be an object, found {value!r}")
    return value


def optional_count(value: Any, name: str, where: str) -> int | None:
    """A positive whole number, or None.

    Raises:
        PackageInvalid: something else was given.
    """
    return None if value is None else _positive(value, name, where)


def _known(data: Mapping[str, Any], keys: set[str], where: str) -> None:
    if unknown := sorted(set(data) - keys):
        raise PackageInvalid(f"{where}: unknown key {unknown[0]!r}; expected some of {', '.join(sorted(keys))}")


def _refuse_enabled(steps: Mapping[str, Any], where: str) -> None:
    # Upright pixels are what every image arrives as, so auto-orient holds already.
    for name, step in steps.items():
        enabled = step.get("enabled", True) if isinstance(step, Mapping) else bool(step)
        if enabled and name != "auto-orient":
            raise PackageInvalid(f"{where}: image_pre_processing.{name} is not implemented; results would differ")


_INPUT_KEYS = {
    "training_input_size",
    "dynamic_spatial_size_supported",
    "dynamic_spatial_size_mode",
    "color_mode",
    "resize_mode",
    "padding_value",
    "input_channels",
    "scaling_factor",
    "normalization",
}


def _network_input(data: Mapping[str, Any], where: str) -> NetworkInput:
    _known(data, _INPUT_KEYS, f"{where}: network_input")
    size = data.get("training_input_size")
    if not isinstance(size, Mapping) or not {"height", "width"} <= size.keys():
        raise PackageInvalid(f"{where}: network_input.training_input_size needs height and width, found {size!r}")
    if data.get("input_channels", 3) != 3:
        raise PackageInvalid(f"{where}: input_channels is {data['input_channels']}, only 3 is implemented")
    mean, std = _normalization(data.get("normalization"), where)
    return NetworkInput(
        hw=(_positive(size["height"], "height", where), _positive(size["width"], "width", where)),
        resize_mode=ResizeMode(_one_of(data.get("resize_mode", "letterbox"), tuple(ResizeMode), "resize_mode", where)),
        color_mode=_one_of(data.get("color_mode", "rgb"), ("rgb", "bgr"), "color_mode", where),
        # An absent padding value means black, as the file's other readers take it.
        padding_value=int(_one_of(data.get("padding_value") or 0, range(256), "padding_value", where)),
        scaling_factor=_scaling(data.get("scaling_factor"), where),
        mean=mean,
        std=std,
    )


def _normalization(
    value: Any, where: str
) -> tuple[tuple[float, float, float] | None, tuple[float, float, float] | None]:
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
    if not _is_number(value) or not 0 < value < inf:
        raise PackageInvalid(f"{where}: scaling_factor must be a number above 0, found {value!r}")
    return float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _nms(data: Mapping[str, Any], where: str) -> NmsDefaults:
    _known(data, {"type", "fused", "nms_parameters"}, f"{where}: post_processing")
    kind = data.get("type", "nms")
    if kind != "nms" or data.get("fused"):
        raise PackageInvalid(f"{where}: post_processing type {kind!r}, fused {data.get('fused')!r} is not implemented")
    given = section(data, "nms_parameters", where)
    _known(
        given,
        {"confidence_threshold", "iou_threshold", "max_detections", "class_agnostic"},
        f"{where}: nms_parameters",
    )
    base = NmsDefaults()
    return NmsDefaults(
        confidence=_share(given.get("confidence_threshold", base.confidence), "confidence_threshold", where),
        iou_threshold=_share(given.get("iou_threshold", base.iou_threshold), "iou_threshold", where),
        max_detections=_positive(given.get("max_detections", base.max_detections), "max_detections", where),
        class_agnostic=_one_of(
            given.get("class_agnostic", base.class_agnostic), (False, True), "class_agnostic", where
        ),
    )


def _share(value: Any, name: str, where: str) -> float:
    if not _is_number(value) or not 0 <= value <= 1:
        raise PackageInvalid(f"{where}: {name} must be a number from 0 to 1, found {value!r}")
    return float(value)


def _positive(value: Any, name: str, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise PackageInvalid(f"{where}: {name} must be a positive whole number, found {value!r}")
    return value


def _one_of(value: Any, allowed: Any, name: str, where: str) -> Any:
    if value not in allowed:
        raise PackageInvalid(f"{where}: {name} is {value!r}, expected one of {', '.join(map(str, allowed))[:120]}")
    return value
