"""Networks that give the depth of every pixel: one output `(n, h, w)` or `(n, 1, h, w)` (Depth Anything, MiDaS ...).

The map is sampled at the original's pixels and otherwise left as it is: normalising it would make a picture's depth
depend on what else is in it, or in its batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.config_fields import one_of
from inference_engine.errors import EngineError, OutputInvalid
from inference_engine.images import Fit
from inference_engine.model import Recipe, fitted
from inference_engine.packages import ModelPackage
from inference_engine.planes import at_pixels, picture_part, plane_step, seen_region
from inference_engine.sessions import Tensors
from inference_engine.tasks import depth
from inference_engine.tasks.depth import DepthMap, DepthUnit
from inference_engine.tasks.parts.parameters import refuse_all

#: Key of `model_config.json`.
UNIT = "depth_unit"
#: Architectures that give metres where their package says no unit.
_METRIC = frozenset({"yolo26"})


def postprocess(
    outputs: Tensors, fits: Sequence[Fit], package: ModelPackage, unit: DepthUnit
) -> list[DepthMap | EngineError]:
    """The depth of a batch, image by image.

    Raises:
        OutputInvalid: the first output is no map an image.
    """
    maps = next(iter(outputs.values()))
    if maps.ndim == 4 and maps.shape[1] == 1:
        maps = maps[:, 0]
    if maps.ndim != 3 or len(maps) != len(fits):
        raise OutputInvalid(f"output of shape {maps.shape}, expected ({len(fits)}, h, w) or ({len(fits)}, 1, h, w)")
    return [_sampled(plane, fit, package, unit) for plane, fit in zip(maps, fits, strict=True)]


def _sampled(plane: npt.NDArray[Any], fit: Fit, package: ModelPackage, unit: DepthUnit) -> DepthMap | EngineError:
    if not np.isfinite(plane).all():
        return OutputInvalid("the model gave depths that are not finite numbers for this image")
    network, (height, width) = package.config.network_input, fit.original_hw
    whole = (0, 0, width, height)
    if (seen := seen_region(fit, network)) != whole:
        return OutputInvalid(
            f"the network sees {seen} of this picture of {height} x {width} only: depth is for all of it"
        )
    step = plane_step(plane.shape, fit, network)
    rows, columns = picture_part(plane.shape, fit, step)
    part = np.ascontiguousarray(plane[rows, columns], dtype=np.float32)
    return DepthMap(at_pixels(part, whole, fit, step, (rows.start, columns.start)), unit)


def check_params(given: Mapping[str, Any], package: ModelPackage) -> DepthUnit:
    """A call has no parameters; what the package's numbers say goes to `postprocess`.

    Raises:
        ParameterInvalid: something was given.
        PackageInvalid: the package's unit is not known.
    """
    refuse_all(given, "a model of depth")
    usual = DepthUnit.METRES if package.architecture in _METRIC else DepthUnit.RELATIVE_INVERSE
    said = package.settings.get(UNIT, usual.value)
    return DepthUnit(one_of(said, tuple(DepthUnit), UNIT, package.package_id))


RECIPES = {depth.TASK: Recipe(fitted, postprocess, check_params)}
