"""Every error as problem+json (RFC 9457), by one table from an error's code to the status."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from producer.server.errors import FieldProblem, RangeInvalid, RequestInvalid
from producer.wire import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from fastapi import APIRouter, FastAPI

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
#: Code of an error -> HTTP status. An error of ours with a code that stands nowhere here is a defect: 500.
STATUS_OF_CODE = {
    "body_invalid": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "job_not_found": 404,
    "model_not_found": 404,
    "machine_unknown": 404,
    "method_not_allowed": 405,
    "body_too_slow": 408,
    "client_token_reused": 409,
    "export_not_ready": 409,
    "presign_unavailable": 409,
    "export_not_found": 404,
    "delivery_not_found": 404,
    "schedule_not_found": 404,
    "invalid_schedule": 422,
    "job_file_invalid": 422,
    "fetch_denied": 422,
    "destination_denied": 422,
    "explain_unavailable": 503,
    "missing_extra": 503,
    "body_too_large": 413,
    "media_unsupported": 415,
    "range_invalid": 416,
    "request_invalid": 422,
    "cursor_invalid": 422,
    "invalid_job": 422,
    "source_invalid": 422,
    "source_not_found": 422,
    "source_empty": 422,
    "source_unreadable": 422,
    "source_unsupported": 422,
    "source_denied": 422,
    "manifest_invalid": 422,
    "format_unknown": 422,
    "format_unsuitable": 422,
    "export_option_invalid": 422,
    "parameter_invalid": 422,
    "package_invalid": 422,
    "too_many_requests": 429,
    "headers_too_large": 431,
    "not_ready": 503,
    "upload_failed": 503,
    "store_unavailable": 503,
    "schema_outdated": 503,
    "broker_unavailable": 503,
    "provider_unavailable": 503,
}


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as it is answered.

    Attributes:
        type: stable, for programs; `docs/errors.md` has each.
        title: the status in words.
        detail: what was found, what was expected, what to do.
        code: the error's, as it stands in SQL and in `docs/errors.md`.
        retryable: whether the same request may work later.
        errors: single fields that are wrong.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    retryable: bool = False
    errors: tuple[FieldProblem, ...] = ()

    def response(self, headers: dict[str, str] | None = None) -> Response:
        """Give the answer."""
        return Response(encode(self), self.status, headers, MEDIA_TYPE)


def problem(code: str, detail: str, *, retryable: bool = False, errors: tuple[FieldProblem, ...] = ()) -> Problem:
    """Give the problem of an error's code."""
    status = STATUS_OF_CODE[code]
    return Problem(f"urn:nightshift:error:{code}", HTTPStatus(status).phrase, status, detail, code, retryable, errors)


def answer_error(error: Exception, *, close: bool = False) -> Response:
    """Give the answer for an exception of ours; what nobody foresaw says nothing of itself but that it was logged.

    Args:
        close: whether the connection ends with it.
    """
    code = getattr(error, "code", None)
    if code not in STATUS_OF_CODE:
        logger.error("a request ended with a defect", exc_info=error, extra={"event": "request_defect"})
        words = "the server has a defect here, and its log says which: report it, and try something else"
        return Problem("urn:nightshift:error:internal", "Internal Server Error", 500, words, "internal").response()
    found = problem(
        code, str(error), retryable=getattr(error, "retryable", False), errors=getattr(error, "problems", ())
    )
    headers = {"WWW-Authenticate": "Bearer"} if found.status == HTTPStatus.UNAUTHORIZED else {}
    if (wait_s := getattr(error, "retry_after_s", None)) is not None:
        headers["Retry-After"] = str(wait_s)
    if close:
        headers["Connection"] = "close"
    if isinstance(error, RangeInvalid):
        headers["Content-Range"] = f"bytes */{error.size}"
    return found.response(headers)


class AnsweringRoute(APIRoute):
    """A route whose errors, those of its guards too, become answers; nothing of them reaches the framework's log."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the framework's handler."""
        handle = super().get_route_handler()
        known = frozenset(str(each.alias) for each in self.dependant.query_params)

        async def answer(request: Request) -> Response:
            try:
                _check_parameters(request, known)
                return await handle(request)
            except (HTTPException, RequestValidationError):
                raise
            except Exception as error:  # noqa: BLE001 (the one place that turns any exception into an answer)
                return answer_error(error)

        return answer


def _check_parameters(request: Request, known: frozenset[str]) -> None:
    """Refuse parameters that the route does not have: a filter with a slip of the pen would list everything."""
    if unknown := sorted(set(request.query_params) - known):
        words = f"no such parameter; expected {', '.join(sorted(known)) or 'none'}"
        problems = [FieldProblem(f"query/{name}", words) for name in unknown]
        raise RequestInvalid(f"the request is not as declared: {unknown[0]!r}: {words}", problems)


def install(app: FastAPI, routers: Sequence[APIRouter]) -> None:
    """Answer what the framework itself refuses with a problem, too.

    Args:
        routers: all that the application has.
    """
    routes = [route for router in routers for route in router.routes if isinstance(route, Route)]

    async def of_framework(request: Request, error: Exception) -> Response:
        return _of_framework(request, error, routes)

    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, of_framework)


async def _of_validation(_: Request, error: Exception) -> Response:
    """Parameters and headers; the value itself is not repeated, since it may be a secret in the wrong place."""
    found: list[Any] = list(error.errors()) if isinstance(error, RequestValidationError) else []
    problems = [FieldProblem("/".join(map(str, each["loc"])), each["msg"]) for each in found]
    words = "; ".join(f"{each.pointer}: {each.detail}" for each in problems)
    return answer_error(RequestInvalid(f"the request is not as declared: {words}", problems))


def _of_framework(request: Request, error: Exception, routes: Sequence[Route]) -> Response:
    """What the router itself refuses: no such path, no such method."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = ", ".join(_methods_of_path(request, routes))
        return problem("method_not_allowed", f"this method is not for this path; expected {allowed}").response(
            {"Allow": allowed}
        )
    if status == HTTPStatus.NOT_FOUND:
        return problem("not_found", "no such path; /openapi.json lists those that there are").response()
    return problem("body_invalid", "the body is not what its content type says").response()


def _methods_of_path(request: Request, routes: Sequence[Route]) -> list[str]:
    """Methods of every route that has this path; the router names those of the first alone."""
    found = [route.methods or () for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted(set().union(*found))
