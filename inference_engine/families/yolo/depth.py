"""Depth by a YOLO head: metres from the camera, `(n, h, w)` or `(n, 1, h, w)`, over the network's input.

The unit is what the makers say of YOLO26's depth models (ultralytics 8.4.104, docs/en/tasks/depth.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.errors import EngineError, OutputInvalid
from inference_engine.images import Fit
from inference_engine.network_maps import sampled_stripes
from inference_engine.packages import ModelPackage
from inference_engine.sessions import Tensors
from inference_engine.tasks.depth import DepthMap, DepthUnit
from inference_engine.tasks.parts.parameters import check_names


@dataclass(frozen=True, slots=True)
class DepthParams:
    """A call asks for nothing."""


def postprocess(
    outputs: Tensors,
    fits: Sequence[Fit],
    package: ModelPackage,
    params: DepthParams,  # noqa: ARG001 (as every recipe's)
) -> list[DepthMap | EngineError]:
    """Depth of every pixel of a batch, image by image."""
    found: npt.NDArray[Any] = next(iter(outputs.values()))
    maps = found[:, None] if found.ndim == 3 else found
    if maps.ndim != 4 or maps.shape[:2] != (len(fits), 1):
        raise OutputInvalid(f"output of shape {found.shape}, expected ({len(fits)}, h, w) or ({len(fits)}, 1, h, w)")
    return [_measured(each, fit, package) for each, fit in zip(maps, fits, strict=True)]


def _measured(one: npt.NDArray[Any], fit: Fit, package: ModelPackage) -> DepthMap | EngineError:
    if not np.isfinite(one).all():
        return OutputInvalid("the model gave depths that are not finite numbers for this image")
    depth = np.empty(fit.original_hw, dtype=np.float32)
    for rows, sampled in sampled_stripes(one.astype(np.float32, copy=False), fit, package.config.network_input):
        depth[rows] = sampled[0]
    return DepthMap(depth, DepthUnit.METRES)


def check_params(given: Mapping[str, Any], package: ModelPackage) -> DepthParams:  # noqa: ARG001 (as every recipe's)
    """Nothing may be asked for.

    Raises:
        ParameterInvalid: something is.
    """
    check_names(given, DepthParams, "a model of depth")
    return DepthParams()
