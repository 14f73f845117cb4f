"""TensorRT 10 and 11: plans. What has run and what has not: docs/tensorrt.md.

`trt.Runtime` without a driver ends the process, so the driver is asked for (NVML) before the library is imported.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from inference_engine.backends import installed
from inference_engine.backends.parts.cudart import Cuda, CudaRuntime, load_cudart
from inference_engine.backends.parts.trt_builder import BuildOptions, compile_package
from inference_engine.backends.parts.trt_engine import deserialize, make_logger, read_edges
from inference_engine.backends.parts.trt_plan import read_plan_facts, why_not
from inference_engine.backends.parts.trt_runner import PlanRunner
from inference_engine.errors import EngineError, SessionFailed
from inference_engine.machine import Gpu, Machine, probe_machine
from inference_engine.negotiation import Offer, Reason
from inference_engine.sessions import Array, SessionOptions, Tensors

if TYPE_CHECKING:
    from pathlib import Path

    from inference_engine.packages import ModelPackage

#: Majors whose names `parts/trt_*.py` use; checked against their real bindings.
MAJORS = ("10", "11")


def probe(machine: Machine) -> Offer:
    """TensorRT runs where it is installed and an NVIDIA GPU answers."""
    hint = 'pip install "nightshift[trt11]", or trt10 for older drivers and Jetson'
    missing = installed(machine, "tensorrt", hint)
    version = machine.packages.get("tensorrt")
    if missing is None and version and version.partition(".")[0] not in MAJORS:
        missing = Reason("broken_runtime", f"TensorRT {version}; versions {' and '.join(MAJORS)} are known here", hint)
    if missing is None and not machine.gpus:
        missing = Reason("needs_gpu", machine.problems.get("nvidia", "no NVIDIA GPU"), "run it on a machine with one")
    return Offer("trt", frozenset({"trt"}), version, () if missing else ("cuda",), missing)


def switches(package: ModelPackage, device: str) -> tuple[str, ...]:  # noqa: ARG001 (the same for all)
    """Runs may be recorded."""
    return ("cuda_graphs",)


def open_session(package: ModelPackage, device: str, options: SessionOptions) -> TrtSession:
    """Check the plan's hash, version and device, then load it.

    Raises:
        PackageInvalid: the plan has no hash or another one, or its `trt_config.json` is wrong.
        SessionFailed: no such GPU, a plan for another one or another version, or TensorRT refused it.
    """
    gpu = gpu_of(probe_machine(), device)
    facts = read_plan_facts(package)
    trt = import_module("tensorrt")
    if reason := why_not(facts, trt.__version__, gpu):
        raise SessionFailed(f"{package.package_id}: {reason}")
    return TrtSession(package, trt, CudaRuntime(load_cudart(), gpu.index), options, host_code=facts.host_code)


def compile_here(package: ModelPackage, target: Path, device: str, options: BuildOptions) -> Path:
    """Build a plan of an ONNX package for a GPU of this machine; see `parts/trt_builder.py`.

    Raises:
        PackageInvalid: the package or the target folder does not do.
        SessionFailed: no such GPU, TensorRT is not installed or of an unknown version, or it refused.
    """
    machine = probe_machine()
    gpu = gpu_of(machine, device)
    if (missing := probe(machine).missing) is not None:
        raise SessionFailed(f"{missing.message}: {missing.hint}")
    cuda = CudaRuntime(load_cudart(), gpu.index)
    try:
        return compile_package(import_module("tensorrt"), package, target, gpu, options)
    finally:
        cuda.close()


def gpu_of(machine: Machine, device: str) -> Gpu:
    """The GPU that a device names.

    Raises:
        SessionFailed: it is not there.
    """
    kind, _, number = device.partition(":")
    for gpu in machine.gpus:
        if kind == "cuda" and gpu.index == int(number or 0):
            return gpu
    found = ", ".join(f"cuda:{gpu.index}" for gpu in machine.gpus) or machine.problems.get("nvidia", "no NVIDIA GPU")
    raise SessionFailed(f"TensorRT cannot use {device}; here: {found}")


class TrtSession:
    """One plan on one GPU; one run at a time."""

    def __init__(
        self, package: ModelPackage, trt: Any, cuda: Cuda, options: SessionOptions, *, host_code: bool = False
    ) -> None:
        log = make_logger(trt)
        self._runtime, self._engine = deserialize(trt, log, package.weights.read_bytes(), host_code=host_code)
        edges = read_edges(trt, self._engine)
        self.inputs, self.outputs = edges.inputs, edges.outputs
        self._max_batch_size = max(profile.largest for profile in edges.profiles)
        self._runner: PlanRunner | None = PlanRunner(trt, self._engine, edges, cuda, log, graphs=options.cuda_graphs)

    @property
    def max_batch_size(self) -> int:
        """Images a run takes at most."""
        return self._max_batch_size

    @property
    def concurrency(self) -> int:
        """One stream: one run."""
        return 1

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """Run one batch, filled up to its bucket and cut again."""
        if self._runner is None:
            raise SessionFailed("the session is closed; open the model again")
        try:
            return self._runner.run(inputs)
        except EngineError:
            raise
        except Exception as error:
            raise SessionFailed(f"TensorRT: {error}") from error

    def close(self) -> None:
        """Free contexts before the engine, and the engine before its runtime."""
        if self._runner is not None:
            self._runner.close()
        self._runner = self._engine = self._runtime = None
