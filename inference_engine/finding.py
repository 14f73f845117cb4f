"""From a reference to packages, local or remote, and from a remote package to one on disk.

What speaks to providers is imported when a reference needs it: local models load no HTTP client.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from inference_engine.errors import ParameterInvalid
from inference_engine.packages import ModelPackage
from inference_engine.providers import LOCAL, FoundModel, ProviderOptions, split_reference
from inference_engine.providers.local import find_model
from inference_engine.remote_packages import RemotePackage


def find(reference: str, model_dirs: Sequence[Path], options: ProviderOptions) -> FoundModel:
    """Find a model wherever it is; no file of it is fetched.

    Raises:
        ModelNotFound, PackageInvalid, ProviderError.
        ParameterInvalid: no such provider, or no cache folder for what it gives.
    """
    name, model_id = split_reference(reference, options.weights_provider)
    if name == LOCAL:
        return find_model(reference, model_dirs)
    if options.cache_dir is None:
        raise ParameterInvalid(f"{reference[:200]!r} comes from {name}: say where fetched packages go (cache_dir)")
    from inference_engine.remote_models import RemoteModels

    return RemoteModels(options.cache_dir, options).find(name, model_id)


def get_model_from_provider(
    model_id: str,
    provider: str,
    options: ProviderOptions = ProviderOptions(),  # noqa: B008 (frozen)
) -> FoundModel:
    """Ask one provider for a model's packages; no file of it is fetched.

    Args:
        provider: `roboflow`, `huggingface`, or the name of a registered one.
        options: with the `cache_dir` that remembers what the provider said.

    Raises:
        ModelNotFound, ProviderError.
        ParameterInvalid: no such provider, or no cache folder.
    """
    return find(f"{provider}://{model_id}" if "://" not in model_id else model_id, (), options)


def local_package(package: ModelPackage | RemotePackage) -> ModelPackage:
    """The package on disk: fetched and verified where it is remote.

    Raises:
        PackageInvalid, DownloadRefused, ProviderError.
    """
    if isinstance(package, ModelPackage):
        return package
    if package.origin is None:
        raise ParameterInvalid(f"package {package.package_id!r} has no origin to be fetched from")
    return package.origin.bring(package)
