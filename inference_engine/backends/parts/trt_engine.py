"""TensorRT's engine: load it, say what goes in and out, choose a profile. Only names that 10.16 and 11.4 both have."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from inference_engine.errors import SessionFailed
from inference_engine.sessions import TensorSpec

logger = logging.getLogger(__name__)

#: trt.DataType's name -> numpy's; TensorRT's other types have none, so a plan must not have them at its edges.
_DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "INT8": "int8",
    "INT32": "int32",
    "INT64": "int64",
    "BOOL": "bool",
    "UINT8": "uint8",
}
_LEVELS = {"INTERNAL_ERROR": logging.ERROR, "ERROR": logging.ERROR, "WARNING": logging.WARNING, "INFO": logging.DEBUG}


@dataclass(frozen=True, slots=True)
class Profile:
    """Batch sizes that one optimisation profile takes."""

    index: int
    smallest: int
    largest: int


@dataclass(frozen=True, slots=True)
class Edges:
    """What an engine takes and gives; the batch axis is first, None where free."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    profiles: tuple[Profile, ...]


def make_logger(trt: Any) -> Any:
    """TensorRT's logger into ours; `errors` keeps the words, since most of its functions only return None or False."""

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            level = _LEVELS.get(severity.name, logging.DEBUG)
            if level == logging.ERROR:
                self.errors.append(msg)
            logger.log(level, "TensorRT: %s", msg)

    return Log()


def told(log: Any) -> str:
    """What TensorRT said last."""
    return "; ".join(log.errors[-3:]) or "TensorRT gave no reason"


def deserialize(trt: Any, log: Any, plan: bytes, *, host_code: bool) -> tuple[Any, Any]:
    """The runtime and the engine; the caller keeps both, since the engine needs its runtime.

    Raises:
        SessionFailed: TensorRT refused the plan (it returns None and does not raise).
    """
    runtime = trt.Runtime(log)
    if host_code:
        runtime.engine_host_code_allowed = True
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise SessionFailed(f"TensorRT {trt.__version__} refused the plan: {told(log)}")
    return runtime, engine


def read_edges(trt: Any, engine: Any) -> Edges:
    """Names, shapes, dtypes and profiles of an engine.

    Raises:
        SessionFailed: a dtype that numpy lacks, or profiles that do not begin with a batch axis.
    """
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    is_input = {name: engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT for name in names}
    specs = {name: _spec(engine, name) for name in names}
    inputs = tuple(specs[name] for name in names if is_input[name])
    outputs = tuple(specs[name] for name in names if not is_input[name])
    if not inputs or not outputs:
        raise SessionFailed(f"the plan has {len(inputs)} inputs and {len(outputs)} outputs, expected some of each")
    return Edges(inputs, outputs, _profiles(engine, inputs[0]))


def choose_profile(profiles: Sequence[Profile], count: int) -> Profile:
    """The tightest profile that takes `count` images; fewer than its smallest are filled up.

    Raises:
        SessionFailed: none does.
    """
    fitting = [profile for profile in profiles if profile.largest >= count]
    if count < 1 or not fitting:
        largest = max(profile.largest for profile in profiles)
        raise SessionFailed(f"a batch of {count} images; the plan takes 1 to {largest}")
    return min(fitting, key=lambda profile: (profile.largest, profile.smallest, profile.index))


def _spec(engine: Any, name: str) -> TensorSpec:
    dtype = engine.get_tensor_dtype(name).name
    if dtype not in _DTYPES:
        raise SessionFailed(f"tensor {name!r} of the plan is {dtype}, which numpy lacks; build it with float edges")
    shape = tuple(int(size) for size in engine.get_tensor_shape(name))
    return TensorSpec(name, tuple(None if size < 0 else size for size in shape), _DTYPES[dtype])


def _profiles(engine: Any, spec: TensorSpec) -> tuple[Profile, ...]:
    if spec.shape[0] is not None:
        return (Profile(0, spec.shape[0], spec.shape[0]),)
    found = []
    for index in range(engine.num_optimization_profiles):
        smallest, _, largest = (int(shape[0]) for shape in engine.get_tensor_profile_shape(spec.name, index))
        found.append(Profile(index, smallest, largest))
    return tuple(found)
