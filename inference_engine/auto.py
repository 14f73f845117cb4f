"""`AutoModel`: one line from a model's name to predictions, whatever runs it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inference_engine import describing
from inference_engine.describing import ModelDescription, PackageDescription, RuntimeDescription
from inference_engine.errors import ParameterInvalid
from inference_engine.loading import decide, open_decided
from inference_engine.machine import probe_machine
from inference_engine.negotiation import Decision, Wishes
from inference_engine.providers import ProviderOptions
from inference_engine.sessions import SessionOptions
from inference_engine.trust import trust_policy

#: How a candidate is chosen.
STRATEGIES = ("order", "measured")


def explain(  # noqa: PLR0913 (each keyword is one wish)
    model: str | os.PathLike[str],
    *,
    backend: str | None = None,
    device: str = "auto",
    quantization: str | None = None,
    batch_size: int | None = None,
    trust: str | Sequence[str] | bool = False,
    allow_local_code_packages: bool = False,
    model_dirs: Sequence[str | os.PathLike[str]] = (),
    provider_options: ProviderOptions = ProviderOptions(),  # noqa: B008 (frozen)
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
    folders = [Path(folder) for folder in model_dirs]
    return decide(_reference(model), wishes, model_dirs=folders, provider_options=provider_options)


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
        model_dirs: Sequence[str | os.PathLike[str]] = (),
        provider_options: ProviderOptions = ProviderOptions(),  # noqa: B008 (frozen)
        options: SessionOptions = SessionOptions(),  # noqa: B008 (frozen)
        strategy: str = "order",
        samples: Any = None,
        budget_s: float = 30.0,
        cache_dir: Path | None = None,
    ) -> Any:
        """Find the model's packages, choose the best that runs here, and open it.

        Args:
            model_id_or_path: an id below `model_dirs`, a package folder, an `.onnx` file that names its classes, or a
                provider's model: `rf://project/1`, `hf://org/name@revision`, `https://` or `s3://` and a manifest.
            backend: `torch`, `onnx` ...; None: the first of `BACKEND_ORDER` that runs.
            device: `auto`, `cpu`, `cuda` or `cuda:<index>`.
            quantization: `fp32`, `int8` ...; None: the best that does not change results.
            batch_size: images that one run must take.
            trust: sha256 of packages or artefacts that may be opened although they can run code (TensorRT plans,
                TorchScript, exported programs); `True`: all of them but packages with their own Python.
            allow_local_code_packages: packages with their own Python may be loaded too.
            provider_options: keys, cache folder and limits for models that a provider has.
            options: threads a run and runs at once, on a CPU.
            strategy: `order` takes the first of `BACKEND_ORDER` that runs; `measured` opens all, and takes the fastest
                whose predictions agree, lower precisions among them, with threads and batch as they were fastest.
            samples: images to measure with, in any form that the model takes; None: generated ones.
            budget_s: seconds that measuring may take; an opening or a round that has begun is ended.
            cache_dir: folder where measurements are remembered; None: they are not.

        Returns:
            A `VisionModel`; of a package with its own Python, what its class makes.

        Raises:
            ParameterInvalid: there is no such strategy, or samples come without `measured`.
            ModelNotFound: the id or path is not known.
            PackageInvalid: the files are wrong.
            ProviderError, DownloadRefused: the provider does not give it.
            NoRunnableBackend: nothing runs here; the message lists every candidate with its reasons.
        """
        _check_strategy(strategy, samples)
        decision = explain(
            model_id_or_path,
            backend=backend,
            device=device,
            quantization=quantization,
            batch_size=batch_size,
            trust=trust,
            allow_local_code_packages=allow_local_code_packages,
            model_dirs=model_dirs,
            provider_options=provider_options,
        )
        if strategy == "measured":
            decision = _measured(decision, options, samples, budget_s, cache_dir)
        return open_decided(decision, options)

    @staticmethod
    def explain(model: str | os.PathLike[str], **wishes: Any) -> Decision:
        """Every candidate for this model on this machine; takes what `inference_engine.explain` takes."""
        return explain(model, **wishes)

    @staticmethod
    def describe_model(
        model: str | os.PathLike[str], *, model_dirs: Sequence[str | os.PathLike[str]] = ()
    ) -> ModelDescription:
        """A model's packages as data that prints well.

        Raises:
            ModelNotFound, PackageInvalid.
        """
        return describing.describe_model(_reference(model), model_dirs=[Path(folder) for folder in model_dirs])

    @staticmethod
    def describe_model_package(
        model: str | os.PathLike[str], package_id: str, *, model_dirs: Sequence[str | os.PathLike[str]] = ()
    ) -> PackageDescription:
        """One package of a model.

        Raises:
            ModelNotFound: the model, or a package of this id, is not there.
        """
        folders = [Path(folder) for folder in model_dirs]
        return describing.describe_model_package(_reference(model), package_id, model_dirs=folders)

    @staticmethod
    def describe_runtime() -> RuntimeDescription:
        """This machine and what each backend can do on it; imports no runtime."""
        return describing.describe_runtime()

    @staticmethod
    def list_models(model_dirs: Sequence[str | os.PathLike[str]]) -> list[ModelDescription]:
        """Every model below the folders."""
        return describing.describe_models([Path(folder) for folder in model_dirs])


def _check_strategy(strategy: str, samples: Any) -> None:
    if strategy not in STRATEGIES:
        raise ParameterInvalid(f"strategy must be one of {', '.join(STRATEGIES)}, found {strategy!r}")
    if samples is not None and strategy != "measured":
        raise ParameterInvalid('samples are measured with: pass strategy="measured" too, or leave them out')


def _measured(
    decision: Decision, options: SessionOptions, samples: Any, budget_s: float, cache_dir: Path | None
) -> Decision:
    from inference_engine.inputs import as_rgb_images
    from inference_engine.measuring import resolve
    from inference_engine.resolution_cache import ResolutionCache
    from inference_engine.tuning import Limits

    machine = probe_machine()
    limits = Limits(machine.cpu_count, options.concurrency, options.threads or None)
    images = None if samples is None else as_rgb_images(samples)
    cache = ResolutionCache(cache_dir) if cache_dir else None
    return resolve(decision, machine, images, budget_s=budget_s, limits=limits, cache=cache, options=options)


def _reference(model: str | os.PathLike[str]) -> str:
    """A path object is always a path; a text is one only where it looks like one."""
    return model if isinstance(model, str) else str(Path(model).absolute())
