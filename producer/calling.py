"""Requests to a server: sent again while nobody answers, refusals are the errors that the store itself raises."""

from __future__ import annotations

import contextlib
import inspect
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import msgspec

from jobstore import errors as jobstore_errors
from jobstore.patience import patient
from producer import errors as producer_errors
from producer.errors import ServerRefused, ServerUnavailable, SettingInvalid, TokenRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

#: Seconds: to connect, and of silence while an answer is awaited; a submit of many items takes the server a while.
_CONNECT_S, _SILENCE_S = 5.0, 120.0
#: What stands before us and has nobody behind it, or asks for patience.
_AWAY = frozenset({429, 502, 503, 504})


class Unanswered(Exception):
    """Nobody answered a request that may be sent again; holds what is raised when patience ends."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Problem(msgspec.Struct):
    """What is read of a problem+json (RFC 9457)."""

    code: str = ""
    detail: str = ""


class Caller:
    """One server, one token, one pool of connections.

    Raises:
        SettingInvalid: no http or https address.
    """

    def __init__(self, url: str, token: str | None, patience_s: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingInvalid(f"{url!r} is no server's address; expected one such as http://host:8000")
        self.name = f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._client = httpx.Client(
            base_url=f"{url.rstrip('/')}/v1/",
            headers=headers,
            timeout=httpx.Timeout(_SILENCE_S, connect=_CONNECT_S),
        )
        self._retrying = patient(
            lambda error: isinstance(error, Unanswered), patience_s, first_wait_s=0.1, most_wait_s=5.0
        )

    def ask(
        self,
        method: str,
        place: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        is_repeatable: bool = False,
    ) -> bytes:
        """Give the answer's body.

        Args:
            is_repeatable: the request may be sent again though it may have arrived; one that only asks always may.

        Raises:
            ServerUnavailable, and whatever the server's problem stands for.
        """
        sent = {**({} if body is None else {"Content-Type": "application/json"}), **(headers or {})}

        def once() -> httpx.Response:
            return self._client.request(method, place, params=params, content=body, headers=sent)

        return self.repeated(once, is_repeatable=is_repeatable or method == "GET").content

    def send(self, place: str, files: Callable[[contextlib.ExitStack], list[tuple[str, Any]]]) -> bytes:
        """Send files as a form, and give the answer's body; the same bytes twice are kept once.

        Args:
            files: opens them; called again for each try.
        """

        def once() -> httpx.Response:
            with contextlib.ExitStack() as opened:
                return self._client.post(place, files=files(opened))

        return self.repeated(once, is_repeatable=True).content

    def repeated(self, once: Callable[[], httpx.Response], *, is_repeatable: bool) -> httpx.Response:
        """Give the first good answer."""

        def attempt() -> httpx.Response:
            try:
                response = once()
            except httpx.TransportError as error:
                raised = ServerUnavailable(f"{self.name} does not answer ({_words(error)}): see that it runs")
                never_arrived = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                raise (Unanswered(raised) if is_repeatable or never_arrived else raised) from error
            if response.is_success:
                return response
            refusal = self._refusal(response)
            raise Unanswered(refusal) if response.status_code in _AWAY else refusal

        try:
            return self._retrying(attempt)
        except Unanswered as last:
            raise last.error from last

    @contextlib.contextmanager
    def stream(self, place: str, params: Mapping[str, Any] | None = None) -> Iterator[Iterator[str]]:
        """Give an answer's lines as they come.

        Raises:
            httpx.TransportError: it broke off.
        """
        with self._client.stream("GET", place, params=params) as response:
            if not response.is_success:
                response.read()
                raise self._refusal(response)
            yield response.iter_lines()

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _refusal(self, response: httpx.Response) -> Exception:
        """Give the error that the store itself would have raised; the server's own where there is none."""
        try:
            problem = msgspec.json.decode(response.content, type=Problem)
        except msgspec.DecodeError:
            problem = Problem()
        words = problem.detail or f"{self.name} answers {response.status_code} to {response.request.url.path}"
        if response.status_code in (401, 403):
            return TokenRefused(words)
        kind = _KINDS.get(problem.code)
        if kind is not None:
            return kind(words)
        if response.status_code in _AWAY or response.status_code >= 500:
            return ServerUnavailable(words)
        return ServerRefused(words)


def _kinds() -> dict[str, type[Exception]]:
    """Classes of errors by code, but for those that are made from more than words."""
    found: dict[str, type[Exception]] = {}
    for module in (jobstore_errors, producer_errors):
        for kind in vars(module).values():
            if inspect.isclass(kind) and issubclass(kind, Exception) and kind.__init__ is Exception.__init__:
                found[getattr(kind, "code", "")] = kind
    return found


_KINDS = _kinds()


def _words(error: httpx.TransportError) -> str:
    return str(error) or type(error).__name__
