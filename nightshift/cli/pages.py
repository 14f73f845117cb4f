"""The server inside `nightshift up`: its address, and a token that lives as long as it does."""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nightshift.errors import AddressTaken, ServerMissing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nightshift.stack import Stack


@dataclass(frozen=True, slots=True)
class Pages:
    """Where the pages are; without a `url` the words say why there are none, and without a `token` none is needed."""

    words: str
    url: str | None = None
    token: str | None = None


@contextlib.contextmanager
def pages_of(stack: Stack, host: str, port: int | None, *, no_auth: bool) -> Iterator[Pages]:
    """Serve beside the workers until the block ends; a port of the settings that is taken is replaced by a free one.

    Raises:
        AddressTaken: the port was asked for.
    """
    from nightshift.serving import bind, running, services_of

    try:
        services = services_of(stack, host, needs_token=not no_auth)
    except ServerMissing as error:
        yield Pages(f"none: {error}; {error.hint}")
        return
    try:
        address = bind(host, stack.settings.server.port if port is None else port)
    except AddressTaken:
        if port is not None:
            raise
        address = bind(host, 0)
    with _token(stack, no_auth=no_auth) as token, running(services, address):
        yield Pages(address.url, address.url, token)


@contextlib.contextmanager
def _token(stack: Stack, *, no_auth: bool) -> Iterator[str | None]:
    """A token of this machine's user, who may do everything here anyway."""
    from jobstore.errors import StoreUnavailable
    from jobstore.tokens import Role, TokenWish

    if no_auth:
        yield None
        return
    row, token = stack.store.tokens.add(TokenWish(f"up-{secrets.token_hex(4)}", role=Role.ADMIN))
    try:
        yield token
    finally:
        with contextlib.suppress(StoreUnavailable):
            stack.store.tokens.revoke(row.token_id)
