"""The way in, and the files that pages load."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from producer.server.errors import NotFound
from producer.server.pages.rendering import ASSETS, PageRoute, asset_bytes, page
from producer.server.routes.session import own_path

router = APIRouter(route_class=PageRoute, include_in_schema=False)

#: An address of a file changes with its content.
_FOREVER = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}


@router.get("/")
def home() -> Response:
    """Lead to the jobs."""
    return RedirectResponse("/jobs", status_code=303)


@router.get("/login")
def sign_in(
    request: Request,
    *,
    failed: Annotated[bool, Query()] = False,
    following: Annotated[str, Query(alias="next")] = "/",
) -> Response:
    """Ask for a token, and lead to the page that was asked for first."""
    if not request.app.state.services.options.needs_token:
        return RedirectResponse("/jobs", status_code=303)
    return page(None, "login.html", has_failed=failed, following=own_path(following), status=401 if failed else 200)


@router.get("/static/{file}")
def static(file: str) -> Response:
    """Give a file that pages load."""
    if file not in ASSETS:
        raise NotFound(f"no file {file!r}; pages load {', '.join(ASSETS)}")
    return Response(asset_bytes(file), media_type=ASSETS[file], headers=_FOREVER)
