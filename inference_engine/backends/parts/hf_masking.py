"""Transformers' SAM and SAM 2: a heavy part that looks at the picture, a light one for each thing that is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from inference_engine.backends.parts.batches import count_of
from inference_engine.backends.parts.hf_loading import load_model
from inference_engine.backends.parts.torch_artifacts import DTYPES
from inference_engine.backends.parts.torch_runs import failures, threads_a_run, use_threads
from inference_engine.errors import SessionFailed
from inference_engine.sessions import Array, SessionOptions, Tensors, TensorSpec

if TYPE_CHECKING:
    from inference_engine.packages import ModelPackage

#: Outputs where nothing is asked, and inputs instead of a picture: what the heavy part made, level by level.
EMBEDDING = "embedding"


class HfMaskSession:
    """One SAM or SAM 2 in inference mode.

    A run takes a picture or its embeddings, and objects in groups `points_0`, `labels_0`, `boxes_0`, `points_1` ...;
    without any object it gives the embeddings.
    """

    outputs: Sequence[TensorSpec] = ()

    def __init__(self, package: ModelPackage, device: str, options: SessionOptions) -> None:
        import torch

        if options.precision not in (None, *DTYPES):
            raise SessionFailed(f"precision {options.precision!r} is not one of {', '.join(DTYPES)}")
        self._torch, self._device = torch, torch.device(device)
        self._dtype = getattr(torch, DTYPES.get(options.precision or package.quantization, "float32"))
        self._module: Any = load_model("AutoModelForMaskGeneration", package, self._dtype).to(self._device)
        self.max_batch_size = package.max_batch_size
        self.concurrency = options.concurrency if device == "cpu" else 1
        self._threads = threads_a_run(torch, options)
        height, width = package.config.network_input.hw
        self.inputs = (TensorSpec("pixel_values", (None, 3, height, width), "float32"),)

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """Look at pictures, or answer what is asked of them, or both."""
        if self._module is None:
            raise SessionFailed("the session is closed; open the model again")
        with failures(self._torch, f"transformers on {self._device}, batch of {count_of(inputs)}"):
            use_threads(self._torch, self._threads)
            values = {name: self._tensor(value) for name, value in inputs.items()}
            with self._torch.inference_mode():
                levels = self._levels(values)
                numbers = sorted({name.rpartition("_")[2] for name in values if name.startswith(("points_", "boxes_"))})
                if not numbers:
                    return {f"{EMBEDDING}_{index}": self._array(level) for index, level in enumerate(levels)}
                found: dict[str, Array] = {}
                for number in numbers:
                    found |= self._asked(levels, values, number)
                return found

    def close(self) -> None:
        """Drop the module, which frees its memory."""
        self._module = None

    def _levels(self, values: dict[str, Any]) -> list[Any]:
        given = sorted(name for name in values if name.startswith(f"{EMBEDDING}_"))
        if given:
            return [values[name] for name in given]
        made = self._module.get_image_embeddings(values["pixel_values"])
        return list(made) if isinstance(made, list | tuple) else [made]

    def _asked(self, levels: Sequence[Any], values: dict[str, Any], number: str) -> dict[str, Array]:
        is_levelled = self._module.config.model_type != "sam"
        found = self._module(
            image_embeddings=list(levels) if is_levelled else levels[0],
            input_points=values.get(f"points_{number}"),
            input_labels=values.get(f"labels_{number}"),
            input_boxes=values.get(f"boxes_{number}"),
            multimask_output=True,
        )
        return {f"masks_{number}": self._array(found.pred_masks), f"scores_{number}": self._array(found.iou_scores)}

    def _tensor(self, value: Array) -> Any:
        tensor = self._torch.from_numpy(np.ascontiguousarray(value)).to(self._device)
        return tensor.to(self._dtype) if tensor.is_floating_point() else tensor

    def _array(self, tensor: Any) -> Array:
        array: Array = tensor.float().cpu().numpy()
        return array
