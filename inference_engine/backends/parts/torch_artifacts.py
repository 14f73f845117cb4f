"""PyTorch artefacts from disk: eager modules, TorchScript archives, exported programs.

`torch.jit.load` runs the archive's code and `torch.export.load` unpickles parts of a `.pt2`: both are executable files.
Whether a package may be opened at all is decided before, from its trust; nothing here asks.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from inference_engine.errors import PackageInvalid, SessionFailed

if TYPE_CHECKING:
    from inference_engine.packages import ModelPackage
    from inference_engine.sessions import SessionOptions

logger = logging.getLogger(__name__)

#: Precision of `SessionOptions` -> name of PyTorch's dtype.
DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def load_artifact(torch: Any, package: ModelPackage, device: Any, options: SessionOptions) -> tuple[Any, Any, Any]:
    """Load a package's artefact onto a device.

    Returns:
        What is called with the input tensors, the dtype that floating inputs must have, and the lower dtype that
        convolutions and products of an eager module run in, or None.

    Raises:
        PackageInvalid: the file is not what the package says.
        SessionFailed: the precision is not one of `DTYPES`, or the artefact has another one burnt in.
    """
    wished = options.precision or package.quantization
    if options.precision is not None and options.precision not in DTYPES:
        raise SessionFailed(f"precision {options.precision!r} is not one of {', '.join(DTYPES)}")
    if package.kind == "torch":
        layout = torch.channels_last if options.channels_last else torch.contiguous_format
        module = _filled(package).eval().to(device=device, memory_format=layout)
        lowered = getattr(torch, DTYPES[wished]) if wished in ("bf16", "fp16") else None
        return (_lower(torch, module, lowered) if lowered else module), torch.float32, lowered
    load = {"torch-script": _script, "torch-export": _exported}[package.kind]
    try:
        module = load(torch, package, device)
    except Exception as error:
        raise PackageInvalid(f"{package.weights} is not a {package.kind} file that torch reads: {error}") from error
    dtype = _stored_dtype(torch, module)
    if options.precision is not None and getattr(torch, DTYPES[options.precision]) != dtype:
        raise SessionFailed(
            f"{package.package_id} was exported in {dtype}, asked for {options.precision}; export it again"
        )
    return module, dtype, None


def compiled(torch: Any, module: Any, run: Callable[[Any], object], *, falls_back: bool) -> Any:
    """The module compiled and run once; itself, with the reason in the log, where that does not work.

    Args:
        run: calls a module as the session will: another layout, precision or thread count is compiled again.

    Raises:
        SessionFailed: it does not work, and a module that is not compiled will not do.
    """
    try:
        made = torch.compile(module, dynamic=None)
        run(made)
    except Exception as error:  # the compiler raises anything: no C++ compiler, an operator that it lacks ...
        if not falls_back:
            raise SessionFailed(f"torch.compile does not work here: {error}") from error
        logger.warning("torch.compile does not work here, the module runs eager: %s", error)
        return module
    return made


def _lower(torch: Any, module: Any, dtype: Any) -> Any:
    """Cast the weights of convolutions and products once instead of at every run."""
    kinds = (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.ConvTranspose2d, torch.nn.Linear)
    for part in module.modules():
        if isinstance(part, kinds):
            part.to(dtype)
    return module


def _filled(package: ModelPackage) -> Any:
    from safetensors.torch import load_file

    from inference_engine.backends.modules import build_module

    if package.module is None or package.weights.suffix != ".safetensors":
        raise PackageInvalid(f"{package.package_id}: a torch package names its `module` and has a .safetensors file")
    module = build_module(*package.module)
    try:
        module.load_state_dict(load_file(package.weights), strict=True)
    except Exception as error:
        raise PackageInvalid(f"{package.weights} does not fill module {package.module[0]}: {error}") from error
    return module


def _script(torch: Any, package: ModelPackage, device: Any) -> Any:
    with warnings.catch_warnings():
        # PyTorch 2.13 calls TorchScript deprecated; packages of it are still there to be opened.
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.load(str(package.weights), map_location=device).eval()


def _exported(torch: Any, package: ModelPackage, device: Any) -> Any:
    program = torch.export.load(str(package.weights))
    if device.type != "cpu":
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, device)
    return program.module()


def _stored_dtype(torch: Any, module: Any) -> Any:
    return next((p.dtype for p in module.parameters() if p.dtype.is_floating_point), torch.float32)
