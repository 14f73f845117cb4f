"""Pages as answers: templates, headers, and errors in words instead of JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Coroutine, Mapping
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined

from jobstore.tokens import Role
from producer.server.pages import words
from producer.server.problems import STATUS_OF_CODE, answer_error

if TYPE_CHECKING:
    from producer.server.auth import Caller

#: Nothing is loaded from elsewhere, nothing inline runs or styles, nobody shows a page inside of another one.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "private, no-store",
}
#: Files that pages load -> their type.
ASSETS = {"pages.css": "text/css", "pages.js": "text/javascript", "icon.svg": "image/svg+xml"}
#: Sections of every page, by who may see them.
_SECTIONS = (
    ("jobs", "/jobs", Role.READER),
    ("queues", "/queues", Role.READER),
    ("fleet", "/fleet", Role.OPERATOR),
    ("models", "/models", Role.READER),
    ("schedules", "/schedules", Role.READER),
    ("compare", "/compare", Role.READER),
)


def page(caller: Caller | None, template: str, *, status: int = 200, **shown: Any) -> HTMLResponse:
    """Give a page; every text in it is escaped."""
    sections = [(name, path) for name, path, role in _SECTIONS if caller is not None and caller.role.covers(role)]
    who = None if caller is None else {"tenant": caller.tenant, "role": caller.role, "csrf": caller.csrf}
    text = environment().get_template(template).render(**shown, who=who, sections=sections)
    return HTMLResponse(text, status, HEADERS)


def asset(name: str) -> str:
    """Give the address of a file that pages load, which changes with its content."""
    return f"/static/{name}?v={hashlib.sha256(asset_bytes(name)).hexdigest()[:12]}"


@cache
def asset_bytes(name: str) -> bytes:
    """Give a file of `ASSETS`."""
    return (files("producer.server.pages") / "static" / name).read_bytes()


@cache
def environment() -> Environment:
    """Give the templates' environment; a name that a page was not given is an error."""
    made = Environment(
        loader=PackageLoader("producer.server.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(words.FILTERS)
    made.filters["pretty"] = pretty
    made.globals["asset"] = asset
    return made


def pretty(value: Any) -> str:
    """Give JSON for people."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


class PageRoute(APIRoute):
    """A route whose errors become pages; who is not signed in is led to where he can."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the framework's handler."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                return _error_page(HTTPStatus.UNPROCESSABLE_ENTITY, _words_of(error))
            except Exception as error:  # noqa: BLE001 (the one place that turns any exception into a page)
                return _answer(request, error)

        return answer


def _answer(request: Request, error: Exception) -> Response:
    status = STATUS_OF_CODE.get(getattr(error, "code", ""))
    if status is None:
        found = json.loads(bytes(answer_error(error).body))
        return _error_page(HTTPStatus(found["status"]), found["detail"])
    if status == HTTPStatus.UNAUTHORIZED and request.method == "GET":
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?next={quote(target, safe='')}", HTTPStatus.SEE_OTHER, HEADERS)
    return _error_page(HTTPStatus(status), str(error))


def _error_page(status: HTTPStatus, detail: str) -> Response:
    return page(None, "error.html", status=status, title=status.phrase, detail=detail)


def _words_of(error: RequestValidationError) -> str:
    found: list[Mapping[str, Any]] = list(error.errors())
    return "; ".join(f"{'/'.join(map(str, each['loc']))}: {each['msg']}" for each in found)
