"""Bodies of requests, checked strictly, and answers; what each says of itself in the OpenAPI description."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from fastapi import Request
from fastapi.responses import Response

from producer.server.errors import BodyInvalid, FieldProblem, MediaUnsupported, RequestInvalid
from producer.server.problems import MEDIA_TYPE, Problem
from producer.wire import decode, encode

T = TypeVar("T")

JSON = "application/json"
#: Statuses of problems that any route may answer.
PROBLEM_STATUSES = (400, 401, 403, 404, 408, 409, 413, 415, 416, 422, 429, 431, 503)
_REF = "#/components/schemas/{name}"


def json_body(kind: type[T], *, is_optional: bool = False) -> Callable[[Request], Coroutine[Any, Any, T]]:
    """Give a guard that reads the body as `kind`; where it is optional, an empty one stands for all defaults.

    Raises (the guard):
        MediaUnsupported, BodyInvalid, RequestInvalid.
    """

    async def read(request: Request) -> T:
        content = await request.body()
        if is_optional and not content:
            return kind()
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media != JSON:
            raise MediaUnsupported(f"the body's content type is {media[:80]!r}; expected {JSON}")
        try:
            body = _decoded(content, kind)
            encode(body)  # numbers beyond 64 bits and half surrogate pairs have no place in a database
        except msgspec.ValidationError as error:
            words, _, place = str(error).partition(" - at `")
            found = FieldProblem(_pointer(place.rstrip("`")), words)
            raise RequestInvalid(f"the body is not as declared: {error}", [found]) from error
        except (ValueError, OverflowError, RecursionError) as error:
            raise BodyInvalid(f"the body is no JSON that can be stored: {error}") from error
        return body

    return read


def _decoded(content: bytes, kind: type[T]) -> T:
    """Read a body strictly; but 3.0 is a whole number to JSON Schema, and so to those who write what we describe."""
    try:
        return decode(content, kind)
    except msgspec.ValidationError as error:
        if "got `float`" not in str(error):
            raise
        return msgspec.convert(_whole(decode(content, object)), kind)


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _whole(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Give a value as JSON; nobody on the way keeps it."""
    return Response(encode(value), status, {"Cache-Control": "no-store", **(headers or {})}, JSON)


def takes(kind: type, *, is_optional: bool = False) -> dict[str, Any]:
    """Describe a route's body, for `openapi_extra`."""
    return {"requestBody": {"required": not is_optional, "content": {JSON: {"schema": _schema(kind)}}}}


def gives(
    kind: Any = None, status: int = 200, media: str | None = JSON, *, more: Sequence[int] = ()
) -> dict[int | str, Any]:
    """Describe a route's answers: the good one (`more` statuses have the same body), and every problem."""
    schema = {} if kind is None else {"schema": _schema(kind)}
    good = {} if media is None else {"content": {media: schema}}
    found: dict[int | str, Any] = {each: {"description": "Well", **good} for each in (status, *more)}
    problems = {"content": {MEDIA_TYPE: {"schema": {"$ref": _REF.format(name="Problem")}}}}
    return found | {each: {"description": "A problem", **problems} for each in PROBLEM_STATUSES}


def listed(kind: Any) -> dict[str, Any]:
    """Describe a page of a list; see `producer.wire.Page`."""
    data = {"type": "array", "items": _schema(kind)}
    return {
        "type": "object",
        "required": ["data", "next"],
        "properties": {"data": data, "next": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
    }


def components(kinds: Iterable[type]) -> dict[str, Any]:
    """Give the schemas of these types and of those in them, by name."""
    return msgspec.json.schema_components([*kinds, Problem], ref_template=_REF)[1]


def _schema(kind: Any) -> Any:
    return kind if isinstance(kind, dict) else {"$ref": _REF.format(name=kind.__name__)}


def _pointer(path: str) -> str:
    """Make `$.video.fps` and `$.items[0].uri` a JSON pointer (RFC 6901)."""
    return path.removeprefix("$").replace("[", ".").replace("]", "").replace(".", "/") or ""
