"""Around every request: how large and how slow a body may be, and headers that hold browsers back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from producer.server.errors import BodyInvalid, BodyTooLarge, BodyTooSlow, HeadersTooLarge
from producer.server.problems import answer_error

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from producer.server.services import ServerOptions

#: Bytes of a request's headers together; an honest one has a few hundred.
MAX_HEADER_BYTES = 16 * 1024
#: Where bodies may be as large as uploads are.
UPLOADS_PATH = "/v1/uploads"
#: No script or style but our own files, nothing of other sites, in nobody's frame.
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", CONTENT_POLICY.encode("ascii")),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


class Limits:
    """The outermost part of the application."""

    def __init__(self, app: ASGIApp, options: ServerOptions) -> None:
        self._app, self._options = app, options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection's event."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADER_BYTES:
            words = f"the headers have more than {MAX_HEADER_BYTES:,} bytes, which is the limit here: send fewer"
            await answer_error(HeadersTooLarge(words))(scope, receive, _hardened(send))
            return
        limit = self._limit(scope["path"])
        given = dict(scope["headers"])
        if b"content-length" in given and b"transfer-encoding" in given:
            # RFC 9112, section 6.1: whoever stands before us may have read another end of the body than we would.
            words = "the body has both a Content-Length and a Transfer-Encoding: send one of them"
            await answer_error(BodyInvalid(words), close=True)(scope, receive, _hardened(send))
            return
        announced = given.get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > limit:
            await answer_error(_too_large(limit))(scope, receive, _hardened(send))
            return
        await self._app(scope, self._bounded(receive, limit), _hardened(send))

    def _limit(self, path: str) -> int:
        return self._options.max_upload_bytes if path == UPLOADS_PATH else self._options.max_body_bytes

    def _bounded(self, receive: Receive, limit: int) -> Receive:
        """Count what arrives, and wait for it only so long; after the body's end, a silence is only a reader's."""
        received, is_whole = 0, False

        async def bounded() -> Message:
            nonlocal received, is_whole
            if is_whole:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), self._options.body_timeout_s)
            except TimeoutError as error:
                raise BodyTooSlow(
                    f"nothing of the body came for {self._options.body_timeout_s:g} s: send it again"
                ) from error
            received += len(message.get("body", b""))
            is_whole = message["type"] != "http.request" or not message.get("more_body", False)
            if received > limit:
                raise _too_large(limit)
            return message

        return bounded


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body has more than {limit:,} bytes, which is the limit here: send less, or in parts")


def _hardened(send: Send) -> Send:
    async def hardened(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = {name.lower() for name, _ in message["headers"]}
            message["headers"] = [*message["headers"], *(each for each in _HEADERS if each[0] not in given)]
        await send(message)

    return hardened
