"""One file of a model as a session, without a package around it: for packages with their own code.

`AutoModel` chooses among packages; here the caller has chosen. Opening TorchScript, an exported program or a TensorRT
plan can run code: who calls this says that the file may.
"""

from __future__ import annotations

import os
from pathlib import Path

from inference_engine.backends import backend, known_backends, offers
from inference_engine.errors import NoRunnableBackend, PackageInvalid, ParameterInvalid
from inference_engine.inference_config import InferenceConfig
from inference_engine.machine import probe_machine
from inference_engine.network_input import NetworkInput
from inference_engine.package_files import digest_of, file_sha256
from inference_engine.package_writer import ARTEFACTS
from inference_engine.packages import ModelPackage
from inference_engine.sessions import Session, SessionOptions

#: Which backend opens a kind where the caller names none.
_USUAL = {"onnx": "onnx", "torch-script": "torch", "torch-export": "torch", "trt": "trt"}
_KINDS = {suffix: kind for suffix, (kind, _) in ARTEFACTS.items() if kind in _USUAL}


def open_artifact(  # noqa: PLR0913 (what a package's files would say)
    path: str | os.PathLike[str],
    *,
    input_hw: tuple[int, int],
    backend_name: str | None = None,
    device: str = "cpu",
    static_batch_size: int | None = None,
    max_batch_size: int = 64,
    options: SessionOptions = SessionOptions(),  # noqa: B008 (frozen)
) -> Session:
    """Open a file as named tensors in, named tensors out.

    Args:
        path: `.onnx`, `.torchscript`, `.pt2`, or `.plan` and `.engine` with their `trt_config.json`.
        input_hw: height and width of the network's input in pixels.
        backend_name: `openvino` opens `.onnx` too; None: the runtime that the file was made for.
        device: `cpu`, `cuda` or `cuda:<index>`.
        static_batch_size: images that a run takes exactly; None where the batch is free.
        max_batch_size: images a run takes at most, where the batch is free.

    Raises:
        ParameterInvalid: the ending or the backend is not known, or does not go with the other.
        PackageInvalid: no such file, or not what its ending says.
        NoRunnableBackend: the backend cannot be used here, with what would help.
        SessionFailed: the runtime refused the file.
    """
    package = _package(Path(path), input_hw, static_batch_size, max_batch_size)
    name = backend_name or _USUAL[package.kind]
    if name not in known_backends():
        raise ParameterInvalid(f"no backend is called {name!r}, only {', '.join(known_backends())}")
    offer = offers(probe_machine())[name]
    if package.kind not in offer.opens:
        raise ParameterInvalid(f"backend {name} opens {', '.join(sorted(offer.opens))}, not {package.kind}")
    if offer.missing is not None:
        raise NoRunnableBackend(f"{name}: {offer.missing.message}; {offer.missing.hint}")
    return backend(name).open_session(package, device, options)


def _package(path: Path, hw: tuple[int, int], static: int | None, most: int) -> ModelPackage:
    kind = _KINDS.get(path.suffix)
    if kind is None:
        raise ParameterInvalid(f"{path.name}: expected a file that ends in {', '.join(_KINDS)}")
    if not path.is_file():
        raise PackageInvalid(f"no such file: {path}")
    files = {path.name: file_sha256(path)}
    return ModelPackage(
        package_id=path.name,
        model_id=path.stem,
        kind=kind,
        architecture="custom",
        family="custom",
        task="custom",
        weights=path,
        quantization="unknown",
        class_names=(),
        config=InferenceConfig(NetworkInput(hw), static_batch_size=static, max_batch_size=most),
        digest=digest_of(files),
        files=files,
    )
