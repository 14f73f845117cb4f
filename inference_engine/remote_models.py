"""Models of providers, and their packages in the cache: asked for first, fetched when chosen, kept for worse days."""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from inference_engine.architectures import family_of, known_architectures
from inference_engine.cache.models import recall, remember
from inference_engine.cache.packages import Fetch, PackageCache
from inference_engine.cache.upkeep import prune
from inference_engine.downloads import Download, download
from inference_engine.errors import CacheUnusable, DownloadRefused, ModelNotFound, ProviderUnavailable
from inference_engine.hf_architectures import MODEL_TYPES
from inference_engine.hf_generative import STEPS as GENERATIVE_TYPES
from inference_engine.hf_promptable import STEPS as PROMPTABLE_TYPES
from inference_engine.packages import CONFIG_FILE, ModelPackage, read_package
from inference_engine.providers import FoundModel, ProviderOptions, provider
from inference_engine.remote_packages import RemoteFile, RemotePackage
from inference_engine.tasks import classification, multi_label
from inference_engine.transport import check_url, make_client

logger = logging.getLogger(__name__)

#: Tasks of which every Hugging Face architecture runs.
_CLASSIFIERS = frozenset({classification.TASK, multi_label.TASK})

#: What a file system says that takes nothing: read only, not ours, full, used up, broken.
_REFUSALS = frozenset(
    {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOTDIR}
)
#: Endings by which the artefact of a kind is known; the first file that has one is the weights.
WEIGHTS = {
    "onnx": (".onnx",),
    "trt": (".plan", ".engine"),
    "torch": (".safetensors", ".pth", ".pt"),
    "torch-script": (".torchscript", ".pt"),
    "hf": (".safetensors", ".bin"),
}


@dataclass(frozen=True, slots=True)
class RemoteModels:
    """Providers and the cache of what they gave; the `Origin` of every remote package."""

    cache_dir: Path
    options: ProviderOptions

    @property
    def cache(self) -> PackageCache:
        """The fetched packages."""
        return PackageCache(self.cache_dir)

    def find(self, name: str, model_id: str) -> FoundModel:
        """Ask the provider; where it does not answer, use what it said last and what is on disk."""
        if self.options.offline:
            return self._recalled(
                name, model_id, ModelNotFound(f"{model_id!r} of {name} is not on disk, and this is offline")
            )
        try:
            found = provider(name).find(model_id, self.options)
        except ProviderUnavailable as error:
            logger.warning("%s; using what is on disk", error)
            return self._recalled(name, model_id, error)
        offered = tuple(package for package in found.packages if isinstance(package, RemotePackage))
        try:
            self.cache.prepare()
            remember(self.cache_dir, name, model_id, found.model_id, offered)
        except OSError as error:
            logger.warning("what %s says of %s is not kept for worse days: %s", name, model_id, error)
        unread = {package.package_id: why for package in offered if (why := against_reading(package))}
        packages = tuple(self._mine(package) for package in found.packages if package.package_id not in unread)
        return replace(found, packages=packages, broken={**found.broken, **unread})

    def bring(self, package: RemotePackage) -> ModelPackage:
        """Fetch what is not there yet, and read the package."""
        with self._cache_is_named():
            return self._bring(package)

    def _bring(self, package: RemotePackage) -> ModelPackage:
        fetch = None if self.options.offline else self._fetcher(package)
        extra = {CONFIG_FILE: json.dumps(config_of(package), indent=1, sort_keys=True).encode()}
        read = read_package(self.cache.bring(package, extra, fetch))
        if read.digest != self.cache.digest(package.key) and self.heal(package):
            # Reading hashes every file anyway: this finds what neither size nor time nor opening would show.
            read = read_package(self.cache.bring(package, extra, fetch))
        prune(self.cache, max(1, self.options.max_cache_bytes))
        verified = {name: {"sha256": sha256} for name, sha256 in read.files.items()}
        return replace(
            read,
            package_id=package.package_id,
            model_id=package.model_id,
            settings={**read.settings, "files": verified},
            warnings=(*read.warnings, *package.warnings),
        )

    def heal(self, package: RemotePackage) -> bool:
        """Hash what is there; set damaged files aside and say whether there were any."""
        with self._cache_is_named():
            return self.cache.heal_alone(package.key)

    @contextmanager
    def _cache_is_named(self) -> Iterator[None]:
        """Whatever the folder's file system refuses is one error of ours; a later try goes on where this one ended."""
        try:
            yield
        except OSError as error:
            if error.errno not in _REFUSALS:
                raise  # a provider of somebody's own has failed
            raise CacheUnusable(
                f"the folder of fetched packages, {self.cache_dir}, refuses ({error.strerror or error}): "
                "see that it has room and may be written, or name another"
            ) from error

    def _mine(self, package: ModelPackage | RemotePackage) -> ModelPackage | RemotePackage:
        return replace(package, origin=self) if isinstance(package, RemotePackage) else package

    def _recalled(self, name: str, model_id: str, error: Exception) -> FoundModel:
        """Packages that are whole on disk; the others are shown as rejected."""
        known = recall(self.cache_dir, name, model_id)
        there = [package for package in known[1] if self.cache.record(package.key)] if known else []
        if known is None or not there:
            raise error
        absent = {p.package_id: "not on disk, and the provider cannot be asked" for p in known[1] if p not in there}
        warning = f"{name} was not asked: the packages are those that were fetched before"
        stale = (replace(package, warnings=(*package.warnings, warning), origin=self) for package in there)
        return FoundModel(known[0], tuple(stale), absent)

    def _fetcher(self, package: RemotePackage) -> Fetch:
        source, limits = provider(package.provider), self.options.asking_limits

        def fetch(file: RemoteFile, folder: Path) -> str:
            if file.hash is None and not self.options.allow_files_without_hash:
                raise DownloadRefused(
                    f"{package.package_id}/{file.name} has no hash to be verified by; "
                    "to fetch it nevertheless: allow_files_without_hash"
                )
            given = source.fetch(package, file, self.options)
            if isinstance(given, Download):
                check_url(given.url, limits)
            with make_client(limits) as client:
                return download(client, given, file, folder, limits)

        return fetch


def against_reading(package: RemotePackage) -> str:
    """Why the package could not be read once it is here, which is known before it is fetched; empty: nothing."""
    own_config = any(file.name == CONFIG_FILE for file in package.files)
    known = (
        [*MODEL_TYPES, *GENERATIVE_TYPES, *PROMPTABLE_TYPES, "vision-encoder-decoder"]
        if package.kind == "hf"
        else known_architectures()
    )
    is_known = package.architecture in known or (
        package.task in _CLASSIFIERS if package.kind == "hf" else family_of(package.architecture) is not None
    )
    return "" if own_config or is_known else f"architecture {package.architecture!r} is not one of {', '.join(known)}"


def config_of(package: RemotePackage) -> Mapping[str, Any]:
    """The `model_config.json` of a package whose provider keeps these facts elsewhere."""
    endings = WEIGHTS.get(package.kind, ())
    names = [file.name for ending in endings for file in package.files if file.name.endswith(ending)]
    facts = {
        "schema_version": 1,
        "package_id": package.package_id,
        "model_id": package.model_id,
        "model_architecture": package.architecture,
        "task_type": package.task,
        "backend_type": package.kind,
        "quantization": package.quantization,
        "weights": names[0] if names else package.files[0].name,
        "manifest": dict(package.manifest),
        "features": dict(package.features),
    }
    return facts | ({"onnx": {"opset": package.opset}} if package.opset else {})
