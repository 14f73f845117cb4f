"""Transformers' models that write, behind `GenerativeSession`: rows of equal length, so that nothing is padded."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from inference_engine.backends.parts.batches import count_of
from inference_engine.backends.parts.hf_loading import load_model
from inference_engine.backends.parts.torch_artifacts import DTYPES
from inference_engine.backends.parts.torch_runs import failures, use_threads
from inference_engine.errors import SessionFailed
from inference_engine.generation import IS_COMPLETE, IS_FINITE, NONE, TOKENS, GenerationOptions
from inference_engine.sessions import Array, SessionOptions, Tensors

if TYPE_CHECKING:
    from inference_engine.packages import ModelPackage

#: Architectures that take the tiles or patches of all pictures of a batch on one axis.
_ON_ONE_AXIS = frozenset({"internvl", "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "glm_ocr"})


class HfWritingSession:
    """One transformers model that writes. It keeps state while it does, so runs take turns."""

    concurrency = 1

    def __init__(self, package: ModelPackage, device: str, options: SessionOptions) -> None:
        import torch

        if options.precision not in (None, *DTYPES):
            raise SessionFailed(f"precision {options.precision!r} is not one of {', '.join(DTYPES)}")
        self._torch, self._device = torch, torch.device(device)
        # As the weights are stored: never fewer bits than they have, unless the caller names another precision.
        self._dtype = getattr(torch, DTYPES.get(options.precision or package.quantization, "float32"))
        self._module: Any = load_model("AutoModelForImageTextToText", package, self._dtype).to(self._device)
        self._max_batch_size = package.max_batch_size
        self._threads = options.threads * options.concurrency
        self._is_on_one_axis = package.architecture in _ON_ONE_AXIS
        self._lock = threading.Lock()

    @property
    def max_batch_size(self) -> int:
        """Rows a run takes at most."""
        return self._max_batch_size

    def generate(self, inputs: Tensors, options: GenerationOptions) -> dict[str, Array]:
        """Answer one batch."""
        count = count_of(inputs)
        with self._lock, failures(self._torch, f"transformers on {self._device}, {count} answers"):
            if self._module is None:
                raise SessionFailed("the session is closed; open the model again")
            use_threads(self._torch, self._threads)
            values = {name: self._tensor(name, value) for name, value in inputs.items()}
            watch = NanWatch(count)
            with self._torch.inference_mode():
                found = self._module.generate(
                    **values,
                    do_sample=False,
                    max_new_tokens=options.max_new_tokens,
                    **self._drawing(options, count, watch),
                )
            written = _ended(found[:, self._given(values) :].cpu().numpy(), self._ends())
            return {**written, IS_FINITE: watch.is_finite()}

    def close(self) -> None:
        """Drop the module, which frees its memory."""
        with self._lock:
            self._module = None

    def _tensor(self, name: str, value: Array) -> Any:
        tensor = self._torch.from_numpy(np.ascontiguousarray(value)).to(self._device)
        if name != "pixel_values":
            return tensor
        return (tensor.flatten(0, 1) if self._is_on_one_axis else tensor).to(self._dtype)

    def _drawing(self, options: GenerationOptions, count: int, watch: NanWatch) -> dict[str, Any]:
        from transformers import LogitsProcessorList

        if options.seed is None:
            return {"logits_processor": LogitsProcessorList([watch])}
        noise = GumbelNoise(self._torch, options.seed, count)
        return {"num_beams": 1, "logits_processor": LogitsProcessorList([watch, noise])}

    def _given(self, values: Mapping[str, Any]) -> int:
        """Tokens of an answer that were there before: the prompt, or a decoder's own first mark behind an encoder."""
        if "decoder_input_ids" in values:
            return int(values["decoder_input_ids"].shape[1])
        return 1 if self._module.config.is_encoder_decoder else int(values["input_ids"].shape[1])

    def _ends(self) -> frozenset[int]:
        found = self._module.generation_config.eos_token_id
        return frozenset(found if isinstance(found, list) else [] if found is None else [found])


class NanWatch:
    """Remembers the rows of which a score was no number, of which the likeliest token says nothing.

    Infinite scores are usual: they stand for tokens that are ruled out.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._found: Any = None

    def __call__(self, input_ids: Any, scores: Any) -> Any:  # noqa: ARG002 (as transformers calls it)
        """Scores `(rows * beams, vocabulary)` as they came."""
        here = scores.isnan().reshape(self._rows, -1).any(dim=1)
        self._found = here if self._found is None else self._found | here
        return scores

    def is_finite(self) -> npt.NDArray[np.bool_]:
        """`(rows,)`."""
        seen = self._found
        return np.ones(self._rows, dtype=np.bool_) if seen is None else ~np.asarray(seen.cpu().numpy(), dtype=np.bool_)


class GumbelNoise:
    """Draws a token by its probability while the likeliest one is taken.

    The greatest of logit and Gumbel noise together is such a draw (Gumbel-max trick, arXiv 1411.0030). Each row has a
    generator of its own, on the CPU, so that its draw is the same on every device and in every batch.
    """

    def __init__(self, torch: Any, seed: int, rows: int) -> None:
        self._torch = torch
        self._rows = [torch.Generator().manual_seed(seed) for _ in range(rows)]

    def __call__(self, input_ids: Any, scores: Any) -> Any:  # noqa: ARG002 (as transformers calls it)
        """Logits `(rows, vocabulary)` with noise."""
        drawn = [self._torch.empty(scores.shape[1]).exponential_(generator=row) for row in self._rows]
        return scores - self._torch.stack(drawn).log().to(scores.device)


def _ended(tokens: Any, ends: frozenset[int]) -> dict[str, Array]:
    """Cut each row at its end; rows that ended before the longest one are padded by the library."""
    is_end = np.isin(tokens, list(ends))
    is_complete = np.asarray(is_end.any(axis=1))
    lengths = np.where(is_complete, is_end.argmax(axis=1), tokens.shape[1])
    kept = np.where(np.arange(tokens.shape[1]) < lengths[:, None], tokens, NONE)
    return {TOKENS: kept.astype(np.int64), IS_COMPLETE: is_complete}
