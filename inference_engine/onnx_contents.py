"""What an ONNX file would make a runtime do beyond arithmetic on its own numbers: files it opens, code it calls.

Field numbers are those of onnx.proto3 (onnx/onnx, Apache-2.0): ModelProto graph 7, functions 25; FunctionProto node 7,
domain 10; GraphProto node 1, initializer 5, sparse_initializer 15; NodeProto op_type 4, attribute 5, domain 7;
AttributeProto t 5, g 6, tensors 10, graphs 11, sparse_tensor 22, sparse_tensors 23; SparseTensorProto values 1,
indices 2; TensorProto external_data 13.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from inference_engine.errors import PackageInvalid
from inference_engine.onnx_file import read_onnx_header
from inference_engine.protobuf import fields, text_of, text_pair

#: Operator sets that ONNX Runtime has built in; any other one is code that somebody loads into the process.
BUILT_IN_DOMAINS = frozenset(
    {
        "", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training", "com.microsoft",
        "com.microsoft.nchwc", "com.microsoft.experimental", "com.ms.internal.nhwc", "org.pytorch.aten",
    }
)  # fmt: skip
#: Operators that name a file or a library to load.
_LOADING_OPERATORS = frozenset({"EPContext", "PyOp", "PythonOp"})
_DEEPEST = 50


@dataclass(frozen=True, slots=True)
class OnnxContents:
    """What the file declares.

    Attributes:
        external: paths of external data, as the file has them.
    """

    opset: int
    external: tuple[str, ...]


@dataclass(slots=True)
class _Found:
    domains: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)
    operators: set[str] = field(default_factory=set)
    external: set[str] = field(default_factory=set)


def check_onnx(path: Path, declared: set[str]) -> OnnxContents:
    """Refuse an ONNX file that calls foreign code or reads other files than the package's own.

    Args:
        declared: files of the package whose hashes are checked; external data must be among them.

    Raises:
        PackageInvalid: with what was found.
    """
    header, found = read_onnx_header(path), _find(path)
    foreign = (found.domains | set(header.domains)) - BUILT_IN_DOMAINS - found.functions
    if foreign:
        raise PackageInvalid(
            f"{path}: it calls operators of {', '.join(map(repr, sorted(foreign)))}, which need foreign code; "
            "export it with standard operators"
        )
    if loading := found.operators & _LOADING_OPERATORS:
        raise PackageInvalid(f"{path}: operator {min(loading)} loads code or compiled files; export it without")
    for name in sorted(found.external):
        check_external(path, name, declared)
    return OnnxContents(header.opset, tuple(sorted(found.external)))


def external_files(path: Path) -> dict[str, Path]:
    """External data of an ONNX file, by the path that the file has for them; each is checked as a package's would be.

    Raises:
        PackageInvalid: the file cannot be read, or a path is not that of a plain file beside it.
    """
    external = _find(path).external
    for name in external:
        check_external(path, name, external)
    return {PurePosixPath(name).as_posix(): path.parent / name for name in sorted(external)}


def check_external(path: Path, name: str, declared: set[str]) -> None:
    """Refuse external data that is not a plain file of the package with a checked hash.

    A link would let the file read anything that the process can read; a second hard link could be changed later.

    Raises:
        PackageInvalid: with what is wrong.
    """
    pure = PurePosixPath(name)
    if not name or pure.is_absolute() or ".." in pure.parts or "\\" in name or ":" in name or "\0" in name:
        raise PackageInvalid(f"{path}: external data {name!r} is not a path inside the package's folder")
    steps = [path.parent.joinpath(*pure.parts[: count + 1]) for count in range(len(pure.parts))]
    if any(step.is_symlink() for step in steps) or not steps[-1].is_file():
        raise PackageInvalid(f"{path}: external data {name!r} is not a regular file of the package's folder")
    if (links := steps[-1].stat().st_nlink) != 1:
        raise PackageInvalid(f"{path}: external data {name!r} has {links} names (hard links), expected one: copy it")
    if pure.as_posix() not in declared:
        raise PackageInvalid(
            f"{path}: external data {name!r} has no hash in model_config.json; "
            "make a package of it: nightshift models add"
        )


def _find(path: Path) -> _Found:
    found = _Found()
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            _walk_model(data, found)
    except (OSError, ValueError, IndexError) as error:
        raise PackageInvalid(f"{path}: not an ONNX model that can be read ({error})") from error
    return found


def _walk_model(data: mmap.mmap, found: _Found) -> None:
    for number, start, end, _ in fields(data, 0, len(data)):
        if number == 7:
            _walk_graph(data, start, end, found, 0)
        elif number == 25:
            found.functions.add(text_of(data, start, end, 10))
            _walk_nodes(data, start, end, 7, found, 0)


def _walk_graph(data: mmap.mmap, start: int, end: int, found: _Found, depth: int) -> None:
    if depth > _DEEPEST:
        raise ValueError(f"graphs within graphs, more than {_DEEPEST}")
    _walk_nodes(data, start, end, 1, found, depth)
    for number, first, last, _ in fields(data, start, end):
        if number == 5:
            found.external.update(_external(data, first, last))
        elif number == 15:
            _walk_sparse(data, first, last, found)


def _walk_nodes(data: mmap.mmap, start: int, end: int, wanted: int, found: _Found, depth: int) -> None:
    for number, first, last, _ in fields(data, start, end):
        if number != wanted:
            continue
        for kind, a, b, _ in fields(data, first, last):
            if kind == 4:
                found.operators.add(data[a:b].decode())
            elif kind == 7:
                found.domains.add(data[a:b].decode())
            elif kind == 5:
                _walk_attribute(data, a, b, found, depth)


def _walk_attribute(data: mmap.mmap, start: int, end: int, found: _Found, depth: int) -> None:
    for number, first, last, _ in fields(data, start, end):
        if number in (5, 10):
            found.external.update(_external(data, first, last))
        elif number in (6, 11):
            _walk_graph(data, first, last, found, depth + 1)
        elif number in (22, 23):
            _walk_sparse(data, first, last, found)


def _walk_sparse(data: mmap.mmap, start: int, end: int, found: _Found) -> None:
    for number, first, last, _ in fields(data, start, end):
        if number in (1, 2):
            found.external.update(_external(data, first, last))


def _external(data: mmap.mmap, start: int, end: int) -> Iterator[str]:
    """Paths that a tensor's external data lie at."""
    for number, first, last, _ in fields(data, start, end):
        if number == 13:
            key, value = text_pair(data, first, last)
            if key == "location":
                yield value
