"""The files of a package folder: which one is the artefact, and the hash of each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inference_engine.config_fields import section
from inference_engine.errors import PackageInvalid

CONFIG_FILE = "model_config.json"

#: Kind of package -> names of its artefact where `weights` does not say one, ours and the peer library's.
WEIGHT_NAMES = {
    "onnx": ("model.onnx", "weights.onnx"),
    "trt": ("model.engine", "model.plan", "engine.plan"),
    "torch": (
        "model.safetensors", "weights.safetensors", "model.pt", "model.pth", "weights.pt", "weights.pth",
    ),
    "torch-script": ("model.torchscript", "weights.torchscript"),
    "torch-export": ("model.pt2", "weights.pt2"),
    "hf": ("model.safetensors", "model.safetensors.index.json"),
}  # fmt: skip
#: Folders that Python and version control leave behind; they are no part of a package.
_NO_PART = frozenset({"__pycache__", ".git"})


def find_weights(folder: Path, kind: str, named: str | None) -> Path:
    """The artefact of a package: the file that its configuration names, else the one with a usual name.

    Raises:
        PackageInvalid: there is none, or more than one.
    """
    where = folder / CONFIG_FILE
    if named is not None:
        path = folder / named
        if path.parent != folder or not path.is_file():
            raise PackageInvalid(f"{where}: weights {path.name!r} is not a file of this folder")
        return path
    names = WEIGHT_NAMES.get(kind, ())
    found = [folder / name for name in names if (folder / name).is_file()]
    suffixes = {Path(name).suffix for name in names} - {".json"}
    found = found or sorted(path for path in folder.iterdir() if path.suffix in suffixes and path.is_file())
    if len(found) != 1:
        shown = ", ".join(path.name for path in found) or "none"
        raise PackageInvalid(f"{where}: names no weights; expected one of {', '.join(names)}, found {shown}")
    return found[0]


#: Kinds of artefacts that a package may have several of.
_WITH_PARTS = ("onnx", "torch-script", "torch-export")


def read_parts(folder: Path, kind: str, config: Mapping[str, Any], where: str) -> dict[str, Path]:
    """Artefacts beside the weights, by what they are for: section `parts` of `model_config.json`.

    Raises:
        PackageInvalid: one is no file of the folder, or the kind of artefact has no parts.
    """
    named = section(config, "parts", where)
    if named and kind not in _WITH_PARTS:
        raise PackageInvalid(f"{where}: parts are opened of kinds {', '.join(_WITH_PARTS)}, not {kind}")
    parts = {name: folder / str(file) for name, file in named.items()}
    for name, path in parts.items():
        if path.parent != folder or not path.is_file():
            raise PackageInvalid(f"{where}: part {name} is {named[name]!r}, which is not a file of this folder")
    return parts


def file_sha256(path: Path) -> str:
    """Hash a file in pieces; hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(hashes: Mapping[str, str]) -> str:
    """One hash over a package's file names and hashes, whatever their order."""
    lines = "".join(f"{name}\0{value}\n" for name, value in sorted(hashes.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def hash_files(folder: Path) -> dict[str, str]:
    """sha256 of every file below a folder, by its path in the folder.

    Raises:
        PackageInvalid: one cannot be read.
    """
    try:
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        names = [path.relative_to(folder) for path in files]
        parts = [path for path, name in zip(files, names, strict=True) if not _NO_PART & set(name.parts)]
        return {path.relative_to(folder).as_posix(): file_sha256(path) for path in parts}
    except OSError as error:
        raise PackageInvalid(f"{folder}: its files cannot be read ({error})") from error


def declared_hashes(declared: Mapping[str, Any], where: str) -> dict[str, str]:
    """File name -> sha256, as the `files` section of `model_config.json` says."""
    return {name: str(section(declared, name, f"{where}: files").get("sha256")) for name in declared}


def check_hashes(folder: Path, found: Mapping[str, str], declared: Mapping[str, str]) -> None:
    """Refuse a package of which a declared file is absent or another than was declared.

    Raises:
        PackageInvalid: with the first such file.
    """
    for name, expected in declared.items():
        if found.get(name) != expected:
            raise PackageInvalid(
                f"{folder / name}: sha256 is {found.get(name) or 'absent'}, "
                f"{CONFIG_FILE} says {expected}; the file is damaged or was changed: fetch the package again"
            )


def read_class_names(path: Path) -> tuple[str, ...]:
    """Names by class id, one a line.

    Raises:
        PackageInvalid: the file cannot be read, or a name is empty or there twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PackageInvalid(f"{path}: class names cannot be read ({error})") from error
    # An empty line between names is refused: dropping it would shift every class after it.
    names = tuple(line.strip() for line in text.rstrip().split("\n"))
    if not all(names) or len(set(names)) != len(names):
        raise PackageInvalid(
            f"{path}: expected different class names, one a line and no line empty, found {names[:20]}"
        )
    return names


def read_characters(path: Path) -> tuple[str, ...]:
    """What a reader of text may read, one a line, in the order of its classes; a line of one blank is the blank.

    Raises:
        PackageInvalid: the file cannot be read, or a line is empty or there twice.
    """
    try:
        found = tuple(path.read_bytes().decode("utf-8-sig").removesuffix("\n").replace("\r", "").split("\n"))
    except (OSError, UnicodeDecodeError) as error:
        raise PackageInvalid(f"{path}: characters cannot be read ({error})") from error
    if not all(found) or len(set(found)) != len(found):
        raise PackageInvalid(f"{path}: expected different characters, one a line and no line empty, found {found[:20]}")
    return found


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises:
        PackageInvalid: it is missing, no JSON, nested beyond reading, or something else than an object.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise PackageInvalid(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(data, dict):
        raise PackageInvalid(f"{path}: expected a JSON object, found {type(data).__name__}")
    return data
