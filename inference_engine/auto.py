"""`AutoModel`: one line from a model's name to predictions, whatever runs it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from inference_engine import describing
from inference_engine.describing import (
    BackendDescription,
    Listing,
    ModelDescription,
    PackageDescription,
    RuntimeDescription,
)
from inference_engine.errors import ParameterInvalid
from inference_engine.loading import decide, open_decided
from inference_engine.machine import probe_machine
from inference_engine.negotiation import Decision, Wishes
from inference_engine.options import STRATEGIES, MeasuringOptions, SelectionOptions, backend_names, precision_names
from inference_engine.providers import ProviderOptions
from inference_engine.sessions import SessionOptions
from inference_engine.trust import trust_policy


def explain(  # noqa: PLR0913 (each keyword is one wish)
    model: str | os.PathLike[str],
    *,
    backend: str | Iterable[str] | None = None,
    device: Any = "auto",
    quantization: str | Iterable[str] | None = None,
    batch_size: int | tuple[int, int] | None = None,
    trust: str | Sequence[str] | bool = False,
    allow_local_code_packages: bool = False,
    model_dirs: Sequence[str | os.PathLike[str]] = (),
    selection: SelectionOptions = SelectionOptions(),  # noqa: B008 (frozen)
    provider_options: ProviderOptions = ProviderOptions(),  # noqa: B008 (frozen)
) -> Decision:
    """Every candidate for this model on this machine, with all reasons; nothing is opened or fetched.

    Takes what `AutoModel.from_pretrained` takes to choose by.

    Raises:
        ParameterInvalid: a wish that cannot be.
        ModelNotFound, PackageInvalid, ProviderError.
    """
    wishes = Wishes(
        backend=backend_names(backend),
        quantization=precision_names(quantization),
        batch_size=batch_size,
        device=str(device),
        trust=trust_policy(trust, allow_local_code_packages),
        package_id=selection.model_package_id,
        execution_providers=selection.provider_names,
        nms_fusion=selection.nms_fusion,
        allows_host_code=selection.trt_engine_host_code_allowed,
    )
    return decide(
        _reference(model),
        wishes,
        model_dirs=_folders(model_dirs),
        order=selection.backend_order,
        provider_options=provider_options,
    )


class AutoModel:
    """Opens models; it is never instantiated."""

    @classmethod
    def from_pretrained(  # noqa: PLR0913 (each keyword is one wish, and documented)
        cls,
        model_id_or_path: str | os.PathLike[str],
        *,
        backend: str | Iterable[str] | None = None,
        device: Any = "auto",
        quantization: str | Iterable[str] | None = None,
        batch_size: int | tuple[int, int] | None = None,
        trust: str | Sequence[str] | bool = False,
        allow_local_code_packages: bool = False,
        model_dirs: Sequence[str | os.PathLike[str]] = (),
        strategy: str = "order",
        selection: SelectionOptions = SelectionOptions(),  # noqa: B008 (frozen)
        measuring: MeasuringOptions = MeasuringOptions(),  # noqa: B008 (frozen)
        provider_options: ProviderOptions = ProviderOptions(),  # noqa: B008 (frozen)
        options: SessionOptions = SessionOptions(),  # noqa: B008 (frozen)
    ) -> Any:
        """Find the model's packages, choose the best that runs here, and open it.

        Args:
            model_id_or_path: an id below `model_dirs`, a package folder, an `.onnx` file that names its classes, or a
                provider's model: `rf://project/1`, `hf://org/name@revision`, `https://` or `s3://` and a manifest.
            backend: `BackendType.TORCH`, `"onnx"` ..., or several; None: the first of `BACKEND_ORDER` that runs.
            device: `auto`, `cpu`, `cuda` or `cuda:<index>`; a `torch.device` is taken too.
            quantization: `Quantization.FP32`, `"int8"` ..., or several; None: the best that does not change results.
            batch_size: images that one run must take; or the fewest and the most.
            trust: sha256 of packages or artefacts that may be opened although they can run code (TensorRT plans,
                TorchScript, exported programs); `True`: all of them but packages with their own Python.
            allow_local_code_packages: packages with their own Python may be loaded too.
            model_dirs: folders of models, by whose names ids are looked up; the working directory is none of them.
            strategy: `order` takes the first of `BACKEND_ORDER` that runs; `measured` opens all, and takes the fastest
                whose predictions agree, lower precisions among them, with threads and batch as they were fastest.
            selection: one package only, execution providers, fused suppression, host code, attempts, another order.
            measuring: samples, budget and memory of strategy `measured`.
            provider_options: keys, cache folder and limits for models that a provider has.
            options: threads a run and runs at once, on a CPU.

        Returns:
            A `VisionModel`, whose `decision` tells what was chosen and why; of a package with its own Python, what its
            class makes.

        Raises:
            ParameterInvalid: a wish that cannot be, or samples without `measured`.
            ModelNotFound: the id or path is not known.
            PackageInvalid: the files are wrong.
            ProviderError, DownloadRefused: the provider does not give it.
            NoRunnableBackend: nothing runs here; the message lists every candidate with its reasons.
        """
        _check_strategy(strategy, measuring)
        decision = explain(
            model_id_or_path,
            backend=backend,
            device=device,
            quantization=quantization,
            batch_size=batch_size,
            trust=trust,
            allow_local_code_packages=allow_local_code_packages,
            model_dirs=model_dirs,
            selection=selection,
            provider_options=provider_options,
        )
        options = replace(
            options,
            execution_providers=selection.provider_names or options.execution_providers,
            provider_options=selection.provider_options or options.provider_options,
        )
        if strategy == "measured":
            decision = _measured(decision, options, measuring)
        return open_decided(decision, options, attempts=selection.max_package_loading_attempts)

    explain = staticmethod(explain)

    @staticmethod
    def describe_model(
        model: str | os.PathLike[str],
        *,
        model_dirs: Sequence[str | os.PathLike[str]] = (),
        provider_options: ProviderOptions = ProviderOptions(),  # noqa: B008 (frozen)
    ) -> ModelDescription:
        """A model's packages as data that prints well; nothing is fetched, and a provider is asked once.

        Raises:
            ModelNotFound, PackageInvalid, ProviderError.
        """
        return describing.describe_model(
            _reference(model), model_dirs=_folders(model_dirs), provider_options=provider_options
        )

    @staticmethod
    def describe_model_package(
        model: str | os.PathLike[str],
        package_id: str,
        *,
        model_dirs: Sequence[str | os.PathLike[str]] = (),
        provider_options: ProviderOptions = ProviderOptions(),  # noqa: B008 (frozen)
    ) -> PackageDescription:
        """One package of a model, with its files and their sizes.

        Raises:
            ModelNotFound: the model, or a package of this id, is not there.
            PackageInvalid: the package cannot be used.
            ProviderError.
        """
        return describing.describe_model_package(
            _reference(model), package_id, model_dirs=_folders(model_dirs), provider_options=provider_options
        )

    @staticmethod
    def describe_runtime() -> RuntimeDescription:
        """This machine and what each backend can do on it; imports no runtime, so a broken one does not break it."""
        return describing.describe_runtime()

    @staticmethod
    def list_backends() -> Listing[BackendDescription]:
        """What each backend can do here, in the order in which they are preferred."""
        return describing.list_backends()

    @staticmethod
    def list_models(model_dirs: Sequence[str | os.PathLike[str]]) -> Listing[ModelDescription]:
        """Every model below the folders; one that cannot be used is there with the reason."""
        return describing.describe_models(_folders(model_dirs))


def _folders(model_dirs: Sequence[str | os.PathLike[str]]) -> list[Path]:
    return [Path(folder) for folder in model_dirs]


def _check_strategy(strategy: str, measuring: MeasuringOptions) -> None:
    if strategy not in STRATEGIES:
        raise ParameterInvalid(f"strategy must be one of {', '.join(STRATEGIES)}, found {strategy!r}")
    if measuring.samples is not None and strategy != "measured":
        raise ParameterInvalid('samples are measured with: pass strategy="measured" too, or leave them out')


def _measured(decision: Decision, options: SessionOptions, measuring: MeasuringOptions) -> Decision:
    from inference_engine.inputs import as_rgb_images
    from inference_engine.measuring import resolve
    from inference_engine.resolution_cache import ResolutionCache
    from inference_engine.tuning import Limits

    machine = probe_machine()
    limits = Limits(machine.cpu_count, options.concurrency, options.threads or None)
    images = None if measuring.samples is None else as_rgb_images(measuring.samples)
    cache = ResolutionCache(measuring.cache_dir) if measuring.cache_dir else None
    return resolve(decision, machine, images, budget_s=measuring.budget_s, limits=limits, cache=cache, options=options)


def _reference(model: str | os.PathLike[str]) -> str:
    """A path object is always a path; a text is one only where it looks like one."""
    return model if isinstance(model, str) else str(Path(model).absolute())
