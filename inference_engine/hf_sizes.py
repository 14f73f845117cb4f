"""Height and width of pictures after each image processor's steps. Pure; steps come from `hf_processors`.

Sides are cut to whole pixels as transformers 5 does it (image_transforms.py and each processor's `resize`), so that the
network sees the same pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil, isqrt

from inference_engine.hf_processors import Steps

Size = tuple[int, int]  # height, width

#: YOLOS cuts both sides down to a multiple of it (YolosImageProcessor, get_size_with_aspect_ratio_yolos).
_YOLOS_DIVISOR = 16
#: Below this edge ConvNeXt's pictures are resized larger and cropped (ConvNextImageProcessor.resize).
_CONVNEXT_CROPPED = 384
#: How exactly the scale of SigLIP 2's pictures is found.
_SCALE_STEP = 1e-5


def fixed_hw(steps: Steps) -> Size | None:
    """Height and width that every picture has after these steps; None where they follow the picture."""
    if (crop := crop_hw(steps)) is not None:
        return crop
    size = steps["size"]
    if steps["processor"] in _FIXED:
        return _FIXED[steps["processor"]](steps)
    if not steps["do_resize"] or steps.get("keep_aspect_ratio"):
        return None
    if steps["processor"] == "Eomt" and steps["do_pad"]:
        return size["shortest_edge"], size.get("longest_edge", size["shortest_edge"])
    return resized_hw((1, 1), steps) if "height" in size else None


def crop_hw(steps: Steps) -> Size | None:
    """Height and width of the middle that is kept; None where nothing is cropped away."""
    if steps["processor"] == "ConvNext" and (edge := steps["size"]["shortest_edge"]) < _CONVNEXT_CROPPED:
        return edge, edge
    return (steps["crop_size"]["height"], steps["crop_size"]["width"]) if steps["do_center_crop"] else None


def resized_hw(hw: Size, steps: Steps) -> Size:
    """Height and width of the resized picture."""
    return _RULES.get(steps["processor"], plain)(hw, steps)


def with_aspect_ratio(hw: Size, shortest: int, longest: int | None) -> Size:
    """The shortest edge as asked, unless the longest grows too long (image_transforms.get_size_with_aspect_ratio)."""
    short, long = min(hw), max(hw)
    edge: float = shortest
    if longest is not None and long / short * edge > longest:
        edge = longest * short / long
    side, other = round(edge), int(edge * long / short)
    if short == side:
        return hw
    return (max(1, side), other) if hw[0] <= hw[1] else (other, max(1, side))


def plain(hw: Size, steps: Steps) -> Size:
    """The size as the file says it, for processors without a rule of their own."""
    size = steps["size"]
    if "height" in size:
        return size["height"], size["width"]
    if "longest_edge" in size:
        return with_aspect_ratio(hw, size["shortest_edge"], size["longest_edge"])
    return _shortest(hw, size["shortest_edge"])


def _shortest(hw: Size, edge: int) -> Size:
    """The shortest edge as asked (image_transforms.get_resize_output_image_size)."""
    height, width = hw
    return (int(edge * height / width), edge) if width <= height else (edge, int(edge * width / height))


def _convnext(hw: Size, steps: Steps) -> Size:
    edge = steps["size"]["shortest_edge"]
    return (edge, edge) if edge >= _CONVNEXT_CROPPED else _shortest(hw, int(edge / steps["crop_pct"]))


def _dpt(hw: Size, steps: Steps) -> Size:
    """Both sides multiples; of two scales the one nearer to 1 is taken for both where the ratio is kept."""
    wanted, multiple = (steps["size"]["height"], steps["size"]["width"]), steps["ensure_multiple_of"]
    scales = [side / own for side, own in zip(wanted, hw, strict=True)]
    if steps["keep_aspect_ratio"]:
        scales = [scales[abs(1 - scales[1]) < abs(1 - scales[0])]] * 2
    # ZoeDepth's multiple is 1 / 32 where its file says none, so a side may have a fraction, which is dropped.
    height, width = (int(round(scale * own / multiple) * multiple) for scale, own in zip(scales, hw, strict=True))
    return height, width


def _glpn(hw: Size, steps: Steps) -> Size:
    divisor = steps["size_divisor"]
    return hw[0] // divisor * divisor, hw[1] // divisor * divisor


def _maskformer(hw: Size, steps: Steps) -> Size:
    (height, width), divisor = plain(hw, steps), steps["size_divisor"]
    return (_up(height, divisor), _up(width, divisor)) if divisor else (height, width)


def _up(side: int, divisor: int) -> int:
    return ceil(side / divisor) * divisor


def _yolos(hw: Size, steps: Steps) -> Size:
    if "height" in steps["size"]:
        return plain(hw, steps)
    height, width = plain(hw, steps)
    return height - height % _YOLOS_DIVISOR, width - width % _YOLOS_DIVISOR


def _vjepa2(hw: Size, steps: Steps) -> Size:
    """The shortest edge in proportion to the middle that is kept, whatever size says (VJEPA2VideoProcessor)."""
    return _shortest(hw, int(steps["crop_size"]["height"] * 256 / 224))


def patched_hw(hw: Size, steps: Steps) -> Size:
    """Sides of whole patches, as many as the file allows, the ratio nearly kept (Siglip2ImageProcessor).

    The scale is found by halving an interval, as there: a closed form would end up in another patch now and then.
    """
    patch, most = steps["patch_size"], steps["max_num_patches"]
    low, high = _SCALE_STEP / 10, 100.0

    def sides(scale: float) -> Size:
        height, width = (max(patch, ceil(side * scale / patch) * patch) for side in hw)
        return height, width

    while high - low >= _SCALE_STEP:
        middle = (low + high) / 2
        height, width = sides(middle)
        low, high = (middle, high) if (height // patch) * (width // patch) <= most else (low, middle)
    return sides(low)


#: Processors whose pictures have one size that does not follow from a resize.
_FIXED: Mapping[str, Callable[[Steps], Size]] = {
    "ConvNext": lambda steps: (steps["size"]["shortest_edge"], steps["size"]["shortest_edge"]),
    "Siglip2": lambda steps: (steps["patch_size"] * isqrt(steps["max_num_patches"]),) * 2,
    "VitPose": lambda steps: (steps["size"]["height"], steps["size"]["width"]),
}
_RULES: Mapping[str, Callable[[Size, Steps], Size]] = {
    "ConvNext": _convnext,
    "DPT": _dpt,
    "GLPN": _glpn,
    "Mask2Former": _maskformer,
    "MaskFormer": _maskformer,
    "VJEPA2": _vjepa2,
    "Yolos": _yolos,
    "ZoeDepth": _dpt,
}
