"""Signing in with a browser: the token, typed once, becomes a cookie that no script reads and no other site sends."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from producer.server.auth import COOKIE, check_same_site, identify, keep_rate, token_row
from producer.server.bodies import gives
from producer.server.errors import Unauthorized
from producer.server.problems import AnsweringRoute
from producer.server.services import Services

router = APIRouter(tags=["session"], route_class=AnsweringRoute, default_response_class=Response)

FORM = "application/x-www-form-urlencoded"
#: Seconds after which a browser forgets; the token may end earlier.
LIFETIME_S = 30 * 24 * 3600
_BODY: dict[str, Any] = {
    "type": "object",
    "required": ["token"],
    "properties": {"token": {"type": "string"}, "next": {"type": "string", "maxLength": 2048}},
}
#: A path of ours: browsers take `//host` and `/\\host` for another site's, and strip tabs and line breaks first.
_OWN_PATH = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]{0,2047}")


@router.post(
    "/login",
    status_code=303,
    responses=gives(media=None, status=303),
    openapi_extra={"security": [], "requestBody": {"required": True, "content": {FORM: {"schema": _BODY}}}},
)
async def login(request: Request) -> Response:
    """Take a token from a form, keep it in a cookie and lead to `next`, the page that was asked for, or to the jobs."""
    services: Services = request.app.state.services
    keep_rate(request, None)
    await check_same_site(request, "")
    form = await request.form()
    token, following = str(form.get("token", "")).strip(), own_path(str(form.get("next", "")))
    if not token or await run_sync(token_row, services, token) is None:
        if "text/html" in request.headers.get("accept", ""):  # a person, whose browser would show him JSON
            return RedirectResponse(f"/login?failed=true&next={quote(following, safe='')}", status_code=303)
        raise Unauthorized("the token is unknown, expired or revoked; `nightshift token create` makes one")
    answer = RedirectResponse(following, status_code=303)
    secure = services.options.is_https
    answer.set_cookie(COOKIE, token, max_age=LIFETIME_S, httponly=True, samesite="strict", secure=secure)
    return answer


def own_path(text: str) -> str:
    """Give a path of this server as it is, and the root instead of anything else, so that nobody is led elsewhere."""
    return text if _OWN_PATH.fullmatch(text) else "/"


@router.post("/logout", status_code=303, responses=gives(media=None, status=303))
async def logout(request: Request) -> Response:
    """Forget the cookie; the token itself stays valid until it is revoked."""
    await identify(request)
    answer = RedirectResponse("/", status_code=303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=request.app.state.services.options.is_https)
    return answer
