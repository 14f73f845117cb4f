"""Packages that bring their own Python: loaded under a module name of their own, from source whose hash was checked.

`sys.path` is not touched, so a package cannot stand in for anybody's module, and no byte code is read or written: a
`__pycache__` beside the source would run unchecked. Files of the package import each other relatively
(`from . import`).
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder, SourceLoader
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference_engine.errors import PackageInvalid

if TYPE_CHECKING:
    from types import CodeType, ModuleType

    from inference_engine.packages import ModelPackage

_PREFIX = "inference_engine_package_"


class _Source(SourceLoader):
    """Compiles one file of a package, if it is still the file that was hashed."""

    def __init__(self, path: Path, sha256: str | None) -> None:
        self._path, self._sha256 = path, sha256

    def get_filename(self, fullname: str) -> str:  # noqa: ARG002 (the loader's protocol)
        return str(self._path)

    def get_data(self, path: str | bytes) -> bytes:  # noqa: ARG002
        data = self._path.read_bytes()
        if hashlib.sha256(data).hexdigest() != self._sha256:
            raise PackageInvalid(f"{self._path} is not the file that was checked; load the package again")
        return data

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002 (always from source: see the module's docstring)
        return self.source_to_code(self.get_data(""), str(self._path))


class _Finder(MetaPathFinder):
    """Finds the files of the packages that were loaded, and nothing else."""

    def __init__(self) -> None:
        self.packages: dict[str, ModelPackage] = {}

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:  # noqa: ARG002
        root, _, rest = fullname.partition(".")
        package = self.packages.get(root)
        if package is None:
            return None
        folder = package.weights.parent
        if not rest:
            return ModuleSpec(fullname, None, is_package=True)
        relative = Path(*rest.split("."))
        for file, is_package in ((relative / "__init__.py", True), (relative.with_suffix(".py"), False)):
            if file.as_posix() in package.files:
                loader = _Source(folder / file, package.files[file.as_posix()])
                spec = ModuleSpec(fullname, loader, origin=str(folder / file), is_package=is_package)
                spec.has_location = True
                return spec
        return None


_FINDER = _Finder()


def load_class(package: ModelPackage) -> type[Any]:
    """Run the package's module and give the class that it names. The caller has checked trust.

    Raises:
        PackageInvalid: the module raises, or has no such class.
    """
    module = _load_module(package)
    found = getattr(module, package.code_class or "", None)
    if not isinstance(found, type):
        raise PackageInvalid(f"{package.weights} has no class {package.code_class!r}")
    return found


def load_custom(package: ModelPackage, device: str = "cpu") -> Any:
    """An object of the package's class, which may have any interface.

    Its class method `from_pretrained`, or else the class itself, is called with the package's folder, and with
    keywords: those of `model_initialization`, and `device`.

    Raises:
        PackageInvalid: the code raises.
    """
    found = load_class(package)
    make = getattr(found, "from_pretrained", found)
    try:
        return make(package.weights.parent, device=device, **package.config.initialization)
    except Exception as error:
        raise PackageInvalid(
            f"{package.weights}: {package.code_class} raised {type(error).__name__}: {error}"
        ) from error


def _load_module(package: ModelPackage) -> ModuleType:
    root = f"{_PREFIX}{package.digest[:32]}"
    name = f"{root}.{package.weights.stem}"
    if name in sys.modules:
        return sys.modules[name]
    if _FINDER not in sys.meta_path:
        sys.meta_path.append(_FINDER)
    _FINDER.packages[root] = package
    try:
        return import_module(name)
    except Exception as error:
        # What was half loaded must not be found whole the next time.
        for loaded in [each for each in sys.modules if each == root or each.startswith(f"{root}.")]:
            del sys.modules[loaded]
        raise PackageInvalid(f"{package.weights} cannot be loaded: {type(error).__name__}: {error}") from error
