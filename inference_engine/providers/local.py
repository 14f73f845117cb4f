"""Models on disk: a package folder, a folder of packages, a bare ONNX file, or an id below a models folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from inference_engine.errors import ModelNotFound, PackageInvalid
from inference_engine.exported_onnx import package_from_onnx
from inference_engine.hf_folder import is_hf_folder, package_from_hf
from inference_engine.packages import CONFIG_FILE, ModelPackage, read_package
from inference_engine.providers import FoundModel

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")


def find_model(reference: str, model_dirs: Sequence[Path] = ()) -> FoundModel:
    """Find a model by path or by id.

    A path is absolute or begins with `.` or `~`, or ends in `.onnx`; anything else is an id, looked up below
    `model_dirs` only, so that a folder of the working directory never stands in for a model by accident.

    Raises:
        ModelNotFound: no such path or id.
        PackageInvalid: it is there, and nothing of it can be read.
    """
    if is_path(reference):
        try:
            return _from_path(Path(reference).expanduser())
        except (OSError, RuntimeError) as error:  # a name too long, no access, no such home folder
            raise ModelNotFound(f"{reference!r} cannot be read: {error}") from error
    if not is_id(reference):
        raise ModelNotFound(f"{reference[:200]!r} is neither a path nor a model id")
    for folder in model_dirs:
        if (folder / reference).is_dir():
            return _from_path(folder / reference)
    looked = f"looked in {', '.join(map(str, model_dirs))}" if model_dirs else "no models folder is configured"
    hint = f"; for the folder of that name here, write ./{reference}" if Path(reference).exists() else ""
    raise ModelNotFound(f"no model called {reference!r} ({looked}){hint}")


def is_id(name: str) -> bool:
    """Whether a text can be a model's id: parts of letters, digits, `.`, `_` and `-`, with `/` between them."""
    return len(name) <= 200 and _ID.fullmatch(name) is not None


def package_folders(reference: str, model_dirs: Sequence[Path] = ()) -> list[Path]:
    """Folders of a model's packages, whole or broken.

    Raises:
        ModelNotFound: no such path or id.
    """
    places = [Path(reference).expanduser()] if is_path(reference) else [folder / reference for folder in model_dirs]
    place = next((place for place in places if place.is_dir()), None)
    if place is None or not (is_path(reference) or is_id(reference)):
        raise ModelNotFound(f"no model folder called {reference[:200]!r}")
    return _folders(place)


def is_path(reference: str) -> bool:
    """Whether a model reference is a path rather than an id."""
    return reference.startswith(("/", ".", "~")) or reference.endswith(".onnx")


def list_models(model_dirs: Sequence[Path]) -> list[str]:
    """Ids below the models folders, sorted."""
    found = {
        config.parent.parent.relative_to(folder).as_posix()
        for folder in model_dirs
        for config in folder.glob(f"*/*/{CONFIG_FILE}")
    }
    return sorted(found)


def _from_path(path: Path) -> FoundModel:
    if path.is_file() and path.suffix == ".onnx":
        package = package_from_onnx(path)
        return FoundModel(package.model_id, (package,))
    if is_hf_folder(path) and not (path / CONFIG_FILE).is_file():
        package = package_from_hf(path)
        return FoundModel(package.model_id, (package,))
    if not path.exists():
        raise ModelNotFound(f"no such file or folder: {path}")
    folders = _folders(path)
    if not path.is_dir() or not folders:
        raise ModelNotFound(f"{path} is not a model: expected an .onnx file or a folder with {CONFIG_FILE}")
    return _from_folders(path, folders)


def _folders(path: Path) -> list[Path]:
    """The folder itself if it is a package, else those in it that are; one that is being written is none yet."""
    if (path / CONFIG_FILE).is_file():
        return [path]
    return sorted(file.parent for file in path.glob(f"*/{CONFIG_FILE}") if not file.parent.name.startswith("."))


def _from_folders(path: Path, folders: Sequence[Path]) -> FoundModel:
    packages: list[ModelPackage] = []
    broken: dict[str, str] = {}
    for folder in folders:
        try:
            package = read_package(folder)
        except PackageInvalid as error:
            broken[folder.name] = str(error)
            continue
        if package.package_id in {other.package_id for other in packages}:
            broken[folder.name] = f"{folder}: package_id {package.package_id!r} is that of another folder of this model"
        else:
            packages.append(package)
    if not packages:
        raise PackageInvalid("\n".join(broken.values()))
    return FoundModel(packages[0].model_id if len(folders) == 1 else path.name, tuple(packages), broken)
