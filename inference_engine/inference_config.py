"""`inference_config.json`: what happens to pixels before the network and to its outputs after it.

The file's keys are those of the peer library (reference: its local packages). Every key is applied or refused:
a key that was silently ignored would change results without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from inference_engine.config_fields import check_known, flag, one_of, optional_count, positive, section, share, text
from inference_engine.errors import PackageInvalid
from inference_engine.network_input import Contrast, Crop, NetworkInput, ResizeMode, parse_network_input, with_size

__all__ = [
    "Contrast",
    "Crop",
    "InferenceConfig",
    "NetworkInput",
    "NmsDefaults",
    "ResizeMode",
    "parse_inference_config",
    "parse_nms",
    "with_size",
]

#: What may follow a network: suppression of boxes, or an activation of scores.
POST_PROCESSING = ("nms", "softmax", "sigmoid")


@dataclass(frozen=True, slots=True)
class NmsDefaults:
    """What post-processing uses where a call says nothing."""

    confidence: float = 0.4
    iou_threshold: float = 0.5
    max_detections: int = 300
    class_agnostic: bool = False


@dataclass(frozen=True, slots=True)
class InferenceConfig:
    """The whole file, checked.

    Attributes:
        post_processing: one of `POST_PROCESSING`, or None where the file says nothing.
        is_fused: the network does its post-processing itself.
        removed_classes: names that the network knows and that results never show.
        initialization: arguments of the module or class that the package names.
    """

    network_input: NetworkInput
    nms: NmsDefaults = NmsDefaults()
    static_batch_size: int | None = None
    max_batch_size: int | None = None
    post_processing: str | None = None
    is_fused: bool = False
    removed_classes: tuple[str, ...] = ()
    initialization: Mapping[str, Any] = field(default_factory=dict)


_KEYS = {
    "image_pre_processing",
    "network_input",
    "forward_pass",
    "post_processing",
    "model_initialization",
    "class_names_operations",
}


def parse_inference_config(data: Mapping[str, Any], where: str, *, is_fused: bool = False) -> InferenceConfig:
    """Check and apply the defaults of `inference_config.json`.

    Args:
        data: the parsed JSON object.
        where: the file's name, for messages.
        is_fused: of the architecture, where the file says nothing of it.

    Raises:
        PackageInvalid: a key is unknown, has a wrong value, or asks for what is not implemented.
    """
    check_known(data, _KEYS, where)
    steps, network = section(data, "image_pre_processing", where), section(data, "network_input", where)
    forward = section(data, "forward_pass", where)
    check_known(forward, {"static_batch_size", "max_dynamic_batch_size"}, f"{where}: forward_pass")
    post = section(data, "post_processing", where)
    config = InferenceConfig(
        network_input=parse_network_input(steps, network, where),
        nms=_nms(post, where),
        static_batch_size=optional_count(forward.get("static_batch_size"), "static_batch_size", where),
        max_batch_size=optional_count(forward.get("max_dynamic_batch_size"), "max_dynamic_batch_size", where),
        post_processing=_kind(post, where),
        is_fused=flag(post.get("fused"), "post_processing.fused", where, default=is_fused),
        removed_classes=_removed_classes(data.get("class_names_operations"), where),
        initialization=dict(section(data, "model_initialization", where)),
    )
    _check_one_size(config, where)
    return config


def _check_one_size(config: InferenceConfig, where: str) -> None:
    """Where the input's size follows the picture, two pictures make no batch."""
    if config.network_input.resize_mode is not ResizeMode.FIT_LONGER_EDGE:
        return
    if 1 not in (config.static_batch_size, config.max_batch_size) or not config.network_input.is_dynamic:
        raise PackageInvalid(
            f"{where}: resize_mode fit-longer-edge gives every picture its own size: it needs "
            "dynamic_spatial_size_supported, and static_batch_size or max_dynamic_batch_size of 1"
        )


def _nms(data: Mapping[str, Any], where: str) -> NmsDefaults:
    check_known(data, {"type", "fused", "nms_parameters"}, f"{where}: post_processing")
    return parse_nms(section(data, "nms_parameters", where), where)


def parse_nms(given: Mapping[str, Any], where: str) -> NmsDefaults:
    """Thresholds of the suppression of boxes, with our defaults where a key is absent.

    Raises:
        PackageInvalid: a key is unknown or out of range.
    """
    known = {"confidence_threshold", "iou_threshold", "max_detections", "class_agnostic"}
    check_known(given, known, f"{where}: nms_parameters")
    base = NmsDefaults()
    return NmsDefaults(
        confidence=share(given.get("confidence_threshold", base.confidence), "confidence_threshold", where),
        iou_threshold=share(given.get("iou_threshold", base.iou_threshold), "iou_threshold", where),
        max_detections=positive(given.get("max_detections", base.max_detections), "max_detections", where),
        class_agnostic=flag(given.get("class_agnostic", base.class_agnostic), "class_agnostic", where),
    )


def _removed_classes(operations: Any, where: str) -> tuple[str, ...]:
    if operations is None:
        return ()
    if not isinstance(operations, list) or not all(isinstance(operation, Mapping) for operation in operations):
        raise PackageInvalid(f"{where}: class_names_operations must be a list of objects, found {operations!r}")
    names = []
    for operation in operations:
        check_known(operation, {"type", "class_name"}, f"{where}: class_names_operations")
        one_of(operation.get("type"), ("class_name_removal",), "class_names_operations type", where)
        names.append(text(operation, "class_name", f"{where}: class_names_operations"))
    return tuple(names)


def _kind(post: Mapping[str, Any], where: str) -> str | None:
    return str(one_of(post.get("type", "nms"), POST_PROCESSING, "post_processing type", where)) if post else None
