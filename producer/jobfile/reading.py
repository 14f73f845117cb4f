"""A job file from disk or from a request, checked against the model; errors name file, line and what to do."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ValidationError

from producer.errors import JobFileInvalid
from producer.jobfile.documents import READERS, Document, DocumentInvalid, Spot, Trap
from producer.jobfile.model import JobFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

#: Bytes; the largest that people write have a few thousand.
MAX_BYTES = 2**20
#: Pydantic's kind of error -> what was expected.
_EXPECTED = {
    "string_type": "text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "list_type": "a list",
    "dict_type": "keys and values",
    "model_type": "keys and values",
    "string_too_short": "some text",
}


def read_job_file(path: Path) -> JobFile:
    """Read and check a job file; its paths are made absolute from its own folder.

    Raises:
        JobFileInvalid: naming file and line.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise JobFileInvalid(f"{path}: expected a name that ends in {', '.join(READERS)}")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise JobFileInvalid(f"{path} cannot be read: {error.strerror or error}") from error
    if len(content) > MAX_BYTES:
        raise JobFileInvalid(f"{path} has more than {MAX_BYTES:,} bytes; a list of items belongs into a manifest")
    try:
        document = reader(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise JobFileInvalid(f"{path}: byte {error.start} is no UTF-8; save it as UTF-8") from error
    except DocumentInvalid as error:
        raise JobFileInvalid(f"{path}, {error}") from error
    return _checked(document, f"{path}").resolved(path.absolute().parent)


def parse_job(data: Mapping[str, Any], place: str = "the job") -> JobFile:
    """Check a job that came as data, for example in a request or from the store.

    Raises:
        JobFileInvalid: naming the keys that are wrong.
    """
    return _checked(Document(data, {}), place)


def job_file_schema() -> dict[str, Any]:
    """Give the JSON Schema of job files, for editors."""
    schema = JobFile.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "nightshift job file"}


def _checked(document: Document, place: str) -> JobFile:
    if not isinstance(document.data, dict):
        found = "nothing" if document.data is None else _named(document.data)
        raise JobFileInvalid(f"{place}: expected keys such as source and model, found {found}")
    try:
        return JobFile.model_validate(document.data)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        raise JobFileInvalid("\n".join(_words(problem, document, place) for problem in problems)) from error


def _words(problem: ErrorDetails, document: Document, place: str) -> str:
    path = _real_path(problem["loc"], document.data)
    spot = document.spot(path)
    where = place if spot is None else f"{place}, line {spot.line}"
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    return f"{where}: {_said(problem, name, path, spot)}"


def _said(problem: ErrorDetails, name: str, path: tuple[str | int, ...], spot: Spot | None) -> str:
    kind = problem["type"]
    if kind == "extra_forbidden":
        known = _keys_at(path[:-1])
        near = difflib.get_close_matches(str(path[-1]), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(known)}"
        return f"unknown key {name!r}; {hint}"
    if kind == "missing":
        return f"{name!r} is missing"
    if kind == "value_error":
        return f"{name}: {problem['msg'].removeprefix('Value error, ')}" if name else problem["msg"]
    expected = _EXPECTED.get(kind) or f"{problem['msg'][:1].lower()}{problem['msg'][1:]}"
    expected = expected.removeprefix("input should be ").removeprefix("a valid ")
    return f"{name}: expected {expected}, found {_found(problem['input'], spot, kind)}"


def _found(value: Any, spot: Spot | None, kind: str) -> str:
    """Say what stands there, as it was written where YAML reads something else into it."""
    if spot is None or spot.written is None or isinstance(value, str):
        return _named(value)
    quotes = f"; put it in quotes: '{spot.written}'" if kind == "string_type" else ""
    if isinstance(value, Trap):
        return f"{spot.written}, which YAML 1.1 reads in base {60 if ':' in spot.written else 8}{quotes}"
    return f"{spot.written}, which YAML 1.1 reads as {_named(value)}{quotes}"


def _named(value: Any) -> str:
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return repr(value if len(value) <= 80 else value[:80] + "...")
    if value is None:
        return "nothing"
    return {"dict": "keys and values", "list": "a list", "date": "a date", "datetime": "a moment"}.get(
        type(value).__name__, type(value).__name__
    )


def _real_path(loc: tuple[str | int, ...], data: Any) -> tuple[str | int, ...]:
    """Leave out what pydantic adds for the member of a union, and what a shorthand such as `model: digits` spared."""
    path: list[str | int] = []
    for index, part in enumerate(loc):
        is_there = (isinstance(data, dict) and part in data) or (isinstance(data, list) and isinstance(part, int))
        if is_there:
            path.append(part)
            data = data[part]
        elif isinstance(data, dict) and index == len(loc) - 1:
            path.append(part)
    return tuple(path)


def _keys_at(path: tuple[str | int, ...]) -> list[str]:
    """Give the keys that are known at a place of the file."""
    model: type[BaseModel] = JobFile
    for part in path:
        if isinstance(part, str) and part in model.model_fields:
            model = _section(model.model_fields[part].annotation) or model
    return list(model.model_fields)


def _section(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _section(part)) is not None), None)
