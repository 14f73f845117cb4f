"""`AutoModel`: one line from a model's name to predictions, whatever runs it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from inference_engine.loading import decide, open_decided
from inference_engine.model import VisionModel
from inference_engine.negotiation import Decision, Wishes
from inference_engine.providers import ProviderOptions
from inference_engine.sessions import SessionOptions


def explain(  # noqa: PLR0913 (each keyword is one wish)
    model: str | os.PathLike[str],
    *,
    backend: str | None = None,
    device: str = "auto",
    quantization: str | None = None,
    batch_size: int | None = None,
    model_dirs: Sequence[Path] = (),
    provider_options: ProviderOptions = ProviderOptions(),  # noqa: B008 (frozen)
) -> Decision:
    """Every candidate for this model on this machine, with all reasons; nothing is opened.

    Raises:
        ModelNotFound, PackageInvalid.
    """
    wishes = Wishes(backend=backend, quantization=quantization, batch_size=batch_size, device=device)
    return decide(_reference(model), wishes, model_dirs=model_dirs, provider_options=provider_options)


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
        model_dirs: Sequence[Path] = (),
        provider_options: ProviderOptions = ProviderOptions(),  # noqa: B008 (frozen)
        options: SessionOptions = SessionOptions(),  # noqa: B008 (frozen)
    ) -> VisionModel:
        """Find the model's packages, choose the best that runs here, and open it.

        Args:
            model_id_or_path: an id below `model_dirs`, a package folder, an `.onnx` file that names its classes, or a
                provider's model: `rf://project/1`, `hf://org/name@revision`, `https://` or `s3://` and a manifest.
            backend: `torch`, `onnx` ...; None: the first of `BACKEND_ORDER` that runs.
            device: `auto`, `cpu`, `cuda` or `cuda:<index>`.
            quantization: `fp32`, `int8` ...; None: the best that does not change results.
            batch_size: images that one run must take.
            provider_options: keys, cache folder and limits for models that a provider has.
            options: threads a run and runs at once, on a CPU.

        Raises:
            ModelNotFound: the id or path is not known.
            PackageInvalid: the files are wrong.
            ProviderError, DownloadRefused: the provider does not give it.
            NoRunnableBackend: nothing runs here; the message lists every candidate with its reasons.
        """
        decision = explain(
            model_id_or_path,
            backend=backend,
            device=device,
            quantization=quantization,
            batch_size=batch_size,
            model_dirs=model_dirs,
            provider_options=provider_options,
        )
        return open_decided(decision, options)


def _reference(model: str | os.PathLike[str]) -> str:
    """A path object is always a path; a text is one only where it looks like one."""
    return model if isinstance(model, str) else str(Path(model).absolute())
