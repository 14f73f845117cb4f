"""Where packages come from. One module a provider; each gives a `FoundModel`.

A provider is a module of this folder, an object that `register_model_provider` was given, or an entry point of the
group `inference_engine.providers`. It has two functions: `find` and `fetch`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import urlsplit

from inference_engine.errors import ParameterInvalid
from inference_engine.packages import ModelPackage
from inference_engine.remote_packages import RemoteFile, RemotePackage

if TYPE_CHECKING:
    from inference_engine.downloads import Download
    from inference_engine.transport import Limits

ENTRY_POINT_GROUP = "inference_engine.providers"
#: Scheme of a reference -> provider; any other scheme is a provider's own name.
SCHEMES = {"rf": "roboflow", "hf": "huggingface", "s3": "manifest", "https": "manifest", "http": "manifest"}
LOCAL = "local"
DEFAULT_CACHE_BYTES = 50 * 2**30
_registered: dict[str, Provider] = {}


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model and its packages.

    Attributes:
        broken: package id -> why its files cannot be used; shown as rejected candidates.
    """

    model_id: str
    packages: tuple[ModelPackage | RemotePackage, ...]
    broken: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProviderOptions:
    """What providers may use; nothing is read from the environment.

    Attributes:
        weights_provider: who knows plain ids; None: the models folders.
        cache_dir: folder of fetched packages; without one, remote models are refused.
        api_keys: provider -> key; sent to that provider's own host and written nowhere.
        hosts: provider -> address, where it is not the usual one.
        offline: use what is on disk and ask nobody.
        allow_files_without_hash: fetch files that nothing can be verified by.
        max_cache_bytes: above it, the least recently used packages go.
        limits: times, tries and sizes; None: the defaults of `transport.Limits`.
        private_hosts: patterns such as `*.corp.example` of hosts that may have addresses in a private network; those
            of `hosts` may anyhow.
    """

    weights_provider: str | None = None
    cache_dir: Path | None = None
    api_keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    hosts: Mapping[str, str] = field(default_factory=dict)
    offline: bool = False
    allow_files_without_hash: bool = False
    max_cache_bytes: int = DEFAULT_CACHE_BYTES
    limits: Limits | None = None
    private_hosts: tuple[str, ...] = ()

    @property
    def asking_limits(self) -> Limits:
        """The limits with the hosts that whoever made these options has named."""
        from inference_engine.transport import Limits  # httpx, which models on disk do not need

        limits = self.limits or Limits()
        named = [host for address in self.hosts.values() if (host := urlsplit(address).hostname)]
        return replace(limits, private_hosts=(*limits.private_hosts, *self.private_hosts, *named))


class Provider(Protocol):
    """Somebody who has models."""

    def find(self, model_id: str, options: ProviderOptions) -> FoundModel:
        """Give a model's packages without fetching their files; raise ModelNotFound or ProviderError."""

    def fetch(self, package: RemotePackage, file: RemoteFile, options: ProviderOptions) -> Download | Iterable[bytes]:
        """Give where a file of a package is, or its bytes."""


def register_model_provider(name: str, provider: Provider) -> None:
    """Make a provider known under a name: `weights_provider=name`, or references `name://model`.

    Raises:
        ParameterInvalid: the name is taken by one of ours, or cannot be a scheme.
    """
    if name == LOCAL or name in SCHEMES or name in _own_names() or not name.replace("-", "").isalnum():
        raise ParameterInvalid(
            f"a provider cannot be called {name!r}: expected letters, digits and -, and no name of ours"
        )
    _registered[name] = provider


def provider(name: str) -> Provider:
    """The provider of that name, imported when it is asked for.

    Raises:
        ParameterInvalid: nobody has that name.
    """
    if name in _registered:
        return _registered[name]
    if name in _own_names():
        return cast("Provider", import_module(f"{__name__}.{name}"))
    for point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        return cast("Provider", _made(point.load()))
    raise ParameterInvalid(f"no provider is called {name!r}, only {', '.join(provider_names())}")


def provider_names() -> list[str]:
    """Every name that `provider` knows, sorted; nothing is imported."""
    points = entry_points(group=ENTRY_POINT_GROUP).names
    return sorted({*_own_names(), *_registered, *points})


def split_reference(reference: str, weights_provider: str | None = None) -> tuple[str, str]:
    """Provider and model id of a reference; a path is local whatever `weights_provider` says.

    Returns:
        `("local", reference)` for paths and for plain ids without a provider.
    """
    scheme, separator, rest = reference.partition("://")
    if separator:
        name = SCHEMES.get(scheme, scheme)
        return name, reference if name == "manifest" else rest
    from inference_engine.providers.local import is_path

    return (LOCAL if weights_provider is None or is_path(reference) else weights_provider), reference


def _own_names() -> set[str]:
    return {module.name for module in pkgutil.iter_modules(__path__)} - {LOCAL}


def _made(found: Any) -> Any:
    """An entry point names a provider, or a class that makes one."""
    return found() if isinstance(found, type) else found
