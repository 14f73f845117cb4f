"""`AutoModel`: one line from a model's name to predictions, whatever runs it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inference_engine.loading import decide, open_decided
from inference_engine.negotiation import Decision, Wishes
from inference_engine.sessions import SessionOptions
from inference_engine.trust import trust_policy


def explain(  # noqa: PLR0913 (each keyword is one wish)
    model: str | os.PathLike[str],
    *,
    backend: str | None = None,
    device: str = "auto",
    quantization: str | None = None,
    batch_size: int | None = None,
    trust: str | Sequence[str] | bool = False,
    allow_local_code_packages: bool = False,
    model_dirs: Sequence[Path] = (),
) -> Decision:
    """Every candidate for this model on this machine, with all reasons; nothing is opened.

    Raises:
        ModelNotFound, PackageInvalid.
    """
    wishes = Wishes(
        backend=backend,
        quantization=quantization,
        batch_size=batch_size,
        device=device,
        trust=trust_policy(trust, allow_local_code_packages),
    )
    return decide(_reference(model), wishes, model_dirs=model_dirs)


class AutoModel:
    """Opens models; it is never instantiated."""

    @classmethod
    def from_pretrained(  # noqa: PLR0913 (each keyword is one wish, and documented)
        cls,
        model_id_or_path: str | os.PathLike[str],
        *,
        backend: str | None = None,
        device: str = "auto",
        quantization: str | None = None,
        batch_size: int | None = None,
        trust: str | Sequence[str] | bool = False,
        allow_local_code_packages: bool = False,
        model_dirs: Sequence[Path] = (),
        options: SessionOptions = SessionOptions(),  # noqa: B008 (frozen)
    ) -> Any:
        """Find the model's packages, choose the best that runs here, and open it.

        Args:
            model_id_or_path: an id below `model_dirs`, a package folder, or an `.onnx` file that names its classes.
            backend: `torch`, `onnx` ...; None: the first of `BACKEND_ORDER` that runs.
            device: `auto`, `cpu`, `cuda` or `cuda:<index>`.
            quantization: `fp32`, `int8` ...; None: the best that does not change results.
            batch_size: images that one run must take.
            trust: sha256 of packages or artefacts that may be opened although they can run code (TensorRT plans,
                TorchScript, exported programs); `True`: all of them but packages with their own Python.
            allow_local_code_packages: packages with their own Python may be loaded too.
            options: threads a run and runs at once, on a CPU.

        Returns:
            A `VisionModel`; of a package with its own Python, what its class makes.

        Raises:
            ModelNotFound: the id or path is not known.
            PackageInvalid: the files are wrong.
            NoRunnableBackend: nothing runs here; the message lists every candidate with its reasons.
        """
        decision = explain(
            model_id_or_path,
            backend=backend,
            device=device,
            quantization=quantization,
            batch_size=batch_size,
            trust=trust,
            allow_local_code_packages=allow_local_code_packages,
            model_dirs=model_dirs,
        )
        return open_decided(decision, options)


def _reference(model: str | os.PathLike[str]) -> str:
    """A path object is always a path; a text is one only where it looks like one."""
    return model if isinstance(model, str) else str(Path(model).absolute())
