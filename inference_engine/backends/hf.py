"""Hugging Face transformers: architectures that it implements, weights as safetensors, never remote code."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from inference_engine.backends import installed
from inference_engine.backends.parts.batches import count_of
from inference_engine.backends.parts.graph_runner import GraphRunner, TorchCuda
from inference_engine.backends.parts.hf_cuts import CutsSession
from inference_engine.backends.parts.hf_fixed import fixed_tensors
from inference_engine.backends.parts.hf_loading import load_model
from inference_engine.backends.parts.hf_masking import HfMaskSession
from inference_engine.backends.parts.hf_texts import TextSide
from inference_engine.backends.parts.hf_writing import HfWritingSession
from inference_engine.backends.parts.torch_artifacts import DTYPES
from inference_engine.backends.parts.torch_runs import failures, run_on_cpu, threads_a_run
from inference_engine.errors import SessionFailed
from inference_engine.generation import WritingSession
from inference_engine.hf_architectures import PATCH_GRID, TEXTS
from inference_engine.hf_folder import settings_of
from inference_engine.hf_generative import FAMILY as GENERATIVE
from inference_engine.hf_inputs import input_specs
from inference_engine.hf_promptable import FAMILY as PROMPTABLE
from inference_engine.negotiation import Offer
from inference_engine.sessions import Array, Session, SessionOptions, Tensors, TensorSpec
from inference_engine.tasks import keypoints

if TYPE_CHECKING:
    from inference_engine.machine import Machine
    from inference_engine.packages import ModelPackage

_HINT = 'pip install "nightshift[hf]"'


def probe(machine: Machine) -> Offer:
    """Transformers run by PyTorch: on the CPU, and on CUDA where PyTorch's build has it and a GPU is there."""
    missing = installed(machine, "transformers", _HINT) or installed(machine, "torch", _HINT)
    has_cuda = bool(machine.gpus) and "+cpu" not in machine.packages.get("torch", "")
    devices = () if missing else ("cpu", "cuda") if has_cuda else ("cpu",)
    return Offer("hf", frozenset({"hf"}), machine.packages.get("transformers"), devices, missing)


def switches(package: ModelPackage, device: str) -> tuple[str, ...]:
    """Runs on a GPU may be recorded, but for those of models that are prompted."""
    return () if device == "cpu" or package.family in (GENERATIVE, PROMPTABLE) else ("cuda_graphs",)


def open_session(package: ModelPackage, device: str, options: SessionOptions) -> Session:
    """Build the architecture that the folder names and fill it from its safetensors file."""
    if package.family == GENERATIVE:
        return WritingSession(HfWritingSession(package, device, options))
    if package.family == PROMPTABLE:
        return HfMaskSession(package, device, options)
    session = HfSession(package, device, options)
    return CutsSession(session) if package.task == keypoints.TASK else session


class HfSession:
    """One transformers model in inference mode. On a CPU several threads may run it."""

    def __init__(self, package: ModelPackage, device: str, options: SessionOptions) -> None:
        import torch

        if options.precision not in (None, *DTYPES):
            raise SessionFailed(f"precision {options.precision!r} is not one of {', '.join(DTYPES)}")
        self._torch, self._device = torch, torch.device(device)
        # A package that does not say its own precision runs in the one that loses nothing.
        self._dtype = getattr(torch, DTYPES.get(options.precision or package.quantization, "float32"))
        self._max_batch_size = package.max_batch_size
        self._concurrency = options.concurrency if device == "cpu" else 1
        self._threads = threads_a_run(torch, options)
        self._row = settings_of(package).row
        self._module: Any = load_model(self._row.auto_class, package, self._dtype).to(self._device)
        self._texts = TextSide(package, self._row.texts, self._module.config) if self._row.texts else None
        self._fixed = fixed_tensors(package, self._texts, self._module.config, self._device)
        self.inputs = input_specs(package)
        self._names = [spec.name for spec in self.inputs if spec.name != TEXTS]
        self._seeking = self._texts if len(self._names) < len(self.inputs) else None
        self.outputs = tuple(TensorSpec(name, (None, None, None), "float32") for name in self._row.outputs)
        self._runner = self._graph_runner(options) if device != "cpu" and not self._seeking else None

    @property
    def max_batch_size(self) -> int:
        """Images a run takes at most."""
        return self._max_batch_size

    @property
    def concurrency(self) -> int:
        """Runs that may be under way at once."""
        return self._concurrency

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """Run one batch."""
        if self._module is None:
            raise SessionFailed("the session is closed; open the model again")
        count = count_of(inputs)
        with failures(self._torch, f"transformers on {self._device}, batch of {count}"):
            values = [self._torch.from_numpy(inputs[name]) for name in self._names]
            if self._runner:
                arrays = self._runner.run(values)
            else:
                cast = [values[0].to(self._dtype), *values[1:]]
                call = partial(self._call_with_texts, self._seeking, inputs[TEXTS]) if self._seeking else self._call
                arrays = run_on_cpu(self._torch, self._threads, call, cast)
        return dict(zip(self._row.outputs, arrays, strict=True))

    def embed_texts(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """One vector a text `(m, d)`, of an architecture that has a part for texts.

        Raises:
            OutOfMemory, SessionFailed: as `run`, or the architecture has no such part.
        """
        if self._module is None or self._texts is None:
            raise SessionFailed("the session is closed, or its architecture takes no texts")
        with failures(self._torch, f"transformers on {self._device}, {len(texts)} texts"):
            encoded = self._texts.encode(np.asarray([texts])).tensors
            (found,) = run_on_cpu(self._torch, self._threads, self._call_texts, list(encoded.values()))
        return found.astype(np.float32, copy=False)

    def close(self) -> None:
        """Drop the module, which frees its memory."""
        self._module = None
        if self._runner:
            self._runner.close()

    def _call(self, values: Sequence[Any]) -> list[Any]:
        fixed = {name: value.expand(len(values[0]), *value.shape[1:]) for name, value in self._fixed.items()}
        found = getattr(self._module, self._row.method)(**dict(zip(self._names, values, strict=True)), **fixed)
        return [found[name] for name in self._row.outputs]

    def _call_with_texts(self, side: TextSide, texts: Array, values: Sequence[Any]) -> list[Any]:
        """As `_call`, with words that are looked for; what depends on them comes back by class."""
        encoded = side.encode(texts)
        on_device = [value.to(self._device) for value in values]
        named = dict(zip(self._names, on_device, strict=True))
        found = self._module(**named, **{name: value.to(self._device) for name, value in encoded.tensors.items()})
        logits, boxes = (found[name] for name in self._row.outputs)
        return [encoded.by_class(logits).cpu(), boxes.cpu()]

    def _call_texts(self, values: Sequence[Any]) -> list[Any]:
        on_device = (value.to(self._device) for value in values)
        return [self._module.get_text_features(*on_device)["pooler_output"].cpu()]

    def _graph_runner(self, options: SessionOptions) -> GraphRunner:
        dtypes = [self._dtype, *(self._torch.int64 for _ in self._names[1:])]
        cuda = TorchCuda(self._torch, self._device, self._torch.channels_last)
        # How many patches there are is read back to the host, which a recording cannot do.
        graphs = options.cuda_graphs and PATCH_GRID not in self._names
        return GraphRunner(cuda, self._call, dtypes, max_batch_size=self._max_batch_size, graphs=graphs)
