"""Depth in Hugging Face format: `predicted_depth (n, h, w)`, resized to the picture by cubic interpolation.

Depth Anything and DPT give inverse depth without a unit, GLPN and ZoeDepth metres (`post_process_depth_estimation` of
each in transformers 5; Depth Anything's `depth_estimation_type` says which of the two a model was trained for). What
ZoeDepth sees has mirrored edges, of which the depth is cut off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.errors import EngineError, OutputInvalid
from inference_engine.hf_folder import settings_of
from inference_engine.hf_inputs import prepared
from inference_engine.hf_pictures import zoedepth_pad
from inference_engine.images import Fit
from inference_engine.maps import Between, resized
from inference_engine.model import Recipe
from inference_engine.packages import ModelPackage
from inference_engine.sessions import Tensors
from inference_engine.tasks import depth
from inference_engine.tasks.depth import DepthMap, DepthUnit
from inference_engine.tasks.parts.parameters import check_names

#: Architectures that always give metres.
_METRIC = frozenset({"glpn", "zoedepth"})


@dataclass(frozen=True, slots=True)
class DepthParams:
    """A call has none."""


def postprocess(
    outputs: Tensors,
    fits: Sequence[Fit],
    package: ModelPackage,
    params: DepthParams,  # noqa: ARG001 (as every family)
) -> list[DepthMap | EngineError]:
    """Resize the maps of a batch to their images."""
    (maps,) = outputs.values()
    if maps.ndim != 3 or len(maps) != len(fits):
        raise OutputInvalid(f"depth of shape {maps.shape}, expected ({len(fits)}, h, w)")
    is_padded = package.architecture == "zoedepth" and settings_of(package).steps["do_pad"]
    pads = [zoedepth_pad(fit.original_hw) if is_padded else (0, 0) for fit in fits]
    return [_map(*item, unit_of(package)) for item in zip(maps, fits, pads, strict=True)]


def unit_of(package: ModelPackage) -> DepthUnit:
    """What the numbers of a model say."""
    is_metric = settings_of(package).config.get("depth_estimation_type") == "metric"
    return DepthUnit.METRES if is_metric or package.architecture in _METRIC else DepthUnit.RELATIVE_INVERSE


def _map(plane: npt.NDArray[Any], fit: Fit, pad_hw: tuple[int, int], unit: DepthUnit) -> DepthMap | EngineError:
    if not np.isfinite(plane).all():
        return OutputInvalid("the model gave numbers that are not finite for this image")
    (height, width), (rows, columns) = fit.original_hw, pad_hw
    padded = resized(plane[None], (height + 2 * rows, width + 2 * columns), Between.CUBIC)[0]
    return DepthMap(np.ascontiguousarray(padded[rows : rows + height, columns : columns + width]), unit)


def check_params(given: Mapping[str, Any], package: ModelPackage) -> DepthParams:  # noqa: ARG001 (as every family)
    """Refuse whatever is given.

    Raises:
        ParameterInvalid: something is.
    """
    check_names(given, DepthParams, "a model of depth")
    return DepthParams()


RECIPES = {depth.TASK: Recipe(prepared, postprocess, check_params)}
