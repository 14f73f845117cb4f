"""Who asks, and whether he may: bearer tokens for programs, a cookie with the token for people's browsers.

A browser sends its cookie along with whatever other sites make it ask. So a request that changes something and is
vouched for by a cookie, or by nothing where no token is needed, has to come from a page of this server.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from anyio.to_thread import run_sync
from fastapi import Depends, Request

from jobstore.encoding import is_storable
from jobstore.errors import JobNotFound
from jobstore.schema import DEFAULT_TENANT, JobId
from jobstore.tokens import Role, TokenRow
from producer.server.errors import Forbidden, TooManyRequests, Unauthorized
from producer.server.rates import Rates
from producer.server.services import Services

COOKIE = "nightshift_session"
CSRF_HEADER, CSRF_FIELD = "X-CSRF-Token", "csrf"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_LONGEST_TOKEN = 256


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a request stands for.

    Attributes:
        csrf: what forms of this caller's pages send along in the field `csrf`; empty without a cookie.
    """

    services: Services
    tenant: str
    role: Role
    csrf: str = ""

    def job(self, text: str) -> JobId:
        """Find a job of the caller's tenant by its id, or by a unique beginning or tail of it.

        Raises:
            JobNotFound: there is none; another tenant's is none.
        """
        if not is_storable(text):
            raise JobNotFound("no job has an id with such characters; see `nightshift jobs`")
        return self.services.store.find_job(text, self.tenant)


def csrf_of(token: str) -> str:
    """Give what proves that a form was made for the owner of this token: nobody else can compute it."""
    return hmac.new(token.encode(), b"nightshift form", hashlib.sha256).hexdigest()


def needs(role: Role) -> Callable[[Request], Coroutine[Any, Any, Caller]]:
    """Give the guard of a route that this role, and those above it, may use."""

    async def guard(request: Request) -> Caller:
        caller = await identify(request)
        if not caller.role.covers(role):
            raise Forbidden(f"this needs a token with the role {role}, and yours has {caller.role}: ask an admin")
        return caller

    guard.role = role  # type: ignore[attr-defined]  # what tests hold every route against
    return guard


Reader = Annotated[Caller, Depends(needs(Role.READER))]
Submitter = Annotated[Caller, Depends(needs(Role.SUBMITTER))]
Operator = Annotated[Caller, Depends(needs(Role.OPERATOR))]


async def identify(request: Request) -> Caller:
    """Say whom a request stands for.

    Raises:
        Unauthorized, Forbidden, TooManyRequests.
    """
    services: Services = request.app.state.services
    bearer, cookie = _bearer(request), request.cookies.get(COOKIE)
    token = bearer or cookie
    row = await run_sync(token_row, services, token) if token else None
    keep_rate(request, row)
    if row is None and services.options.needs_token:
        words = "the token is unknown, expired or revoked" if token else "no token"
        raise Unauthorized(f"{words}: send `Authorization: Bearer ...`; `nightshift token create` makes one")
    if row is None:
        _check_host(request, services)
    csrf = csrf_of(cookie) if row is not None and cookie and not bearer else ""
    if not bearer and request.method not in _SAFE:
        await check_same_site(request, csrf)
    if row is None:
        return Caller(services, DEFAULT_TENANT, Role.ADMIN)
    return Caller(services, row.tenant, row.role, csrf)


def token_row(services: Services, token: str) -> TokenRow | None:
    """Give whom a token stands for; None: unknown, expired or revoked."""
    return services.store.tokens.find(token) if len(token) <= _LONGEST_TOKEN else None


async def check_same_site(request: Request, csrf: str) -> None:
    """Refuse a request that a page of another site made a browser send.

    Raises:
        Forbidden.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    is_ours = site in (None, "same-origin", "none")
    if origin is not None and site is None:
        is_ours = urlsplit(origin).netloc == request.headers.get("host")
    if is_ours and csrf:
        given = request.headers.get(CSRF_HEADER) or str((await request.form()).get(CSRF_FIELD, ""))
        is_ours = hmac.compare_digest(given.encode(), csrf.encode())
    if not is_ours:
        raise Forbidden("this was sent by a page of another site, or by an old page of this one: reload the page")


def _bearer(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def keep_rate(request: Request, row: TokenRow | None) -> None:
    """Count a request of a token, or of an address without one.

    Raises:
        TooManyRequests.
    """
    rates: Rates = request.app.state.rates
    address = request.client.host if request.client else "unknown"
    wait_s = rates.wait_s(f"token {row.token_id}" if row else f"address {address}")
    if wait_s is not None:
        raise TooManyRequests(f"too many requests: the next may come in {wait_s} s", wait_s)


def _check_host(request: Request, services: Services) -> None:
    name = (urlsplit(f"//{request.headers.get('host', '')}").hostname or "").rstrip(".")
    if services.options.hosts and name not in services.options.hosts:
        raise Forbidden(
            f"this server needs no token, so it answers to {', '.join(sorted(services.options.hosts))} only"
        )
