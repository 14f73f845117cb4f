"""What transformers' image processors do where `preprocessor_config.json` says nothing, by the processor's name.

Values are the class attributes of transformers 5's processors; a test holds them equal. A processor that is not here
has steps of its own that `hf_pixels` does not know, so its folders are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inference_engine.errors import PackageInvalid

Steps = Mapping[str, Any]

_NEAR_ZERO: Steps = {"image_mean": (0.5, 0.5, 0.5), "image_std": (0.5, 0.5, 0.5)}
_IMAGENET: Steps = {"image_mean": (0.485, 0.456, 0.406), "image_std": (0.229, 0.224, 0.225)}
_CLIP: Steps = {
    "image_mean": (0.48145466, 0.4578275, 0.40821073),
    "image_std": (0.26862954, 0.26130258, 0.27577711),
}
_BILINEAR, _BICUBIC = {"resample": 2}, {"resample": 3}  # PIL.Image.Resampling
_CROP_224 = {"do_center_crop": True, "crop_size": {"height": 224, "width": 224}}
_DETR = {**_IMAGENET, **_BILINEAR, "size": {"shortest_edge": 800, "longest_edge": 1333}, "do_pad": True}
_CUT_OUT = {"do_affine_transform": True, "normalize_factor": 200.0}
_ZOEDEPTH = {
    "size": {"height": 384, "width": 512},
    "keep_aspect_ratio": True,
    "ensure_multiple_of": 1 / 32,
    "do_pad": True,
}
_USUAL: Steps = {
    "do_resize": True,
    "do_center_crop": False,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "do_pad": False,
}


def _square(edge: int) -> Steps:
    return {"size": {"height": edge, "width": edge}}


def _short(edge: int) -> Steps:
    return {"size": {"shortest_edge": edge}}


_OWN: Mapping[str, Steps] = {
    "Beit": {**_NEAR_ZERO, **_BICUBIC, **_square(224), **_CROP_224, "do_center_crop": False},
    "Bit": {**_CLIP, **_BICUBIC, **_short(224), **_CROP_224},
    "CLIP": {**_CLIP, **_BICUBIC, **_short(224), **_CROP_224},
    "ConditionalDetr": _DETR,
    "ConvNext": {**_NEAR_ZERO, **_BICUBIC, **_short(384), "crop_pct": 224 / 256},
    "DPT": {**_NEAR_ZERO, **_BICUBIC, **_square(384), "keep_aspect_ratio": False, "ensure_multiple_of": 1},
    "DeformableDetr": _DETR,
    "DeiT": {**_NEAR_ZERO, **_BICUBIC, **_square(256), **_CROP_224},
    "Detr": _DETR,
    "Eomt": {**_IMAGENET, **_BILINEAR, "size": {"shortest_edge": 640, "longest_edge": 640}, "do_split_image": False},
    "GLPN": {**_BILINEAR, "size": {}, "size_divisor": 32, "do_normalize": False},
    "GroundingDino": _DETR,
    "Mask2Former": {**_DETR, "do_pad": False, "size_divisor": 32},
    "MaskFormer": {**_DETR, "do_pad": False, "size_divisor": 32},
    "MobileNetV1": {**_NEAR_ZERO, **_BILINEAR, **_short(256), **_CROP_224},
    "MobileNetV2": {**_NEAR_ZERO, **_BILINEAR, **_short(256), **_CROP_224},
    "OneFormer": {**_DETR, "do_pad": False},
    "OwlViT": {**_CLIP, **_BICUBIC, **_square(768), "crop_size": {"height": 768, "width": 768}},
    "Owlv2": {**_CLIP, **_BILINEAR, **_square(960), "do_pad": True},
    "Pvt": {**_IMAGENET, **_BICUBIC, **_square(224)},
    "RTDetr": {**_IMAGENET, **_BILINEAR, **_square(640), "do_normalize": False},
    "RfDetr": _DETR,
    "Segformer": {**_IMAGENET, **_BILINEAR, **_square(512)},
    "Siglip": {**_NEAR_ZERO, **_BICUBIC, **_square(224)},
    "Siglip2": {**_NEAR_ZERO, **_BILINEAR, "size": {}, "patch_size": 16, "max_num_patches": 256},
    "VJEPA2": {
        **_IMAGENET,
        **_BILINEAR,
        **_short(292),
        "do_center_crop": True,
        "crop_size": {"height": 256, "width": 256},
    },
    "ViT": {**_NEAR_ZERO, **_BILINEAR, **_square(224)},
    "VideoMAE": {**_NEAR_ZERO, **_BILINEAR, **_short(224), **_CROP_224},
    "VitPose": {**_IMAGENET, "size": {"height": 256, "width": 192}, "do_resize": False, **_CUT_OUT},
    "Yolos": _DETR,
    "ZoeDepth": {**_NEAR_ZERO, **_BILINEAR, **_ZOEDEPTH},
}
PROCESSORS: Mapping[str, Steps] = {name: {**_USUAL, **own} for name, own in _OWN.items()}
#: Processors that take one number for a size as both sides; the others take it as the shortest edge.
_SQUARE = frozenset({"Beit", "DPT", "DeiT", "OwlViT", "Owlv2", "Pvt", "Segformer", "Siglip", "ViT"})
#: Ends of a processor's name: transformers has had each class under several.
_ENDINGS = ("Pil", "Fast", "ImageProcessor", "VideoProcessor", "FeatureExtractor")
#: Keys under which a file names its processor.
_NAMES = ("video_processor_type", "image_processor_type", "feature_extractor_type")
#: Steps that change pixels and that nothing here does; where a file asks for one, pixels would be others.
_UNKNOWN_STEPS = ("do_thumbnail", "do_align_long_axis", "do_split_image", "do_flip_channel_order", "rescale_offset")


def read_steps(given: Mapping[str, Any], usual: str, where: str) -> dict[str, Any]:
    """The steps of a `preprocessor_config.json`, filled up with its processor's own values.

    Args:
        given: the file's object.
        usual: name of the processor that the architecture has, where the file does not say one.
        where: names the file in messages.

    Returns:
        `processor`, its name, and every step that it has; `size` is an object.

    Raises:
        PackageInvalid: the processor is not known, or a step is asked for that is not.
    """
    name = next((given[key] for key in _NAMES if given.get(key)), usual)
    for ending in _ENDINGS:
        name = str(name).removesuffix(ending)
    if name not in PROCESSORS:
        raise PackageInvalid(f"{where}: image processor {name!r} is not one of {', '.join(PROCESSORS)}")
    said = {key: value for key, value in given.items() if value is not None}
    if asked := next((step for step in _UNKNOWN_STEPS if said.get(step)), None):
        raise PackageInvalid(f"{where}: {asked} is asked for, which is not known here")
    steps = {**PROCESSORS[name], **said, "processor": name}
    if name == "VitPose" and any(steps[key] != value for key, value in _CUT_OUT.items()):
        raise PackageInvalid(f"{where}: expected {_CUT_OUT}, or neither of them: nothing else is known here")
    for key in ("size", "crop_size"):
        if key in steps:
            steps[key] = _sides(steps[key], steps, key, where)
    _check_numbers(steps, where)
    return steps


def _sides(value: Any, steps: Steps, key: str, where: str) -> dict[str, int]:
    is_square = key == "crop_size" or steps["processor"] in _SQUARE
    if isinstance(value, int):
        if is_square:
            return {"height": value, "width": value}
        longest = steps.get("max_size")
        return {"shortest_edge": value, **({"longest_edge": longest} if longest else {})}
    known = ("height", "width", "shortest_edge", "longest_edge")
    sides = {side: n for side, n in value.items() if n is not None} if isinstance(value, Mapping) else {"": value}
    if any(side not in known or not isinstance(n, int) or n < 1 for side, n in sides.items()):
        raise PackageInvalid(f"{where}: {key} is {value!r}, expected whole numbers for some of {', '.join(known)}")
    if key == "crop_size" and "height" not in sides:
        raise PackageInvalid(f"{where}: crop_size is {value!r}, expected height and width")
    return sides


def _check_numbers(steps: Steps, where: str) -> None:
    for key in ("image_mean", "image_std"):
        value = steps.get(key)
        if value is not None and not (isinstance(value, list | tuple) and len(value) == 3):
            raise PackageInvalid(f"{where}: {key} is {value!r}, expected three numbers")
    if steps["do_normalize"] and 0 in steps["image_std"]:
        raise PackageInvalid(f"{where}: image_std has a 0, by which nothing can be divided")
