"""Large files on their way to a server's uploads, past the server: to its bucket, by addresses that it signs.

A server whose uploads go to a folder offers no such way, one of an earlier version does not know it, and not every
client reaches the bucket that its server does. Each of them is found out once; files then go through the server.
"""

from __future__ import annotations

import hashlib
import logging
import math
import mimetypes
import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx

from jobstore.patience import patient
from producer.answers import Page, Presigned
from producer.errors import PresignUnavailable, ServerRefused
from producer.wire import FileBody, PresignBody, decode, encode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from producer.calling import Caller

logger = logging.getLogger(__name__)

#: Seconds to connect, and of silence.
_CONNECT_S, _SILENCE_S = 5.0, 120.0
#: Requests of one file; what a bucket answers that may work in a moment.
_TRIES, _PASSING = 5, frozenset({408, 429, 500, 502, 503, 504})
_CHUNK_BYTES = 2**20
_ANY_TYPE = "application/octet-stream"


class BucketAway(Exception):
    """A bucket did not take a file, and may do so in a moment."""


class BucketRefused(Exception):
    """A bucket does not take a file."""


class PresignedUploads:
    """The way past one server; `is_open` says whether there is one, as far as is known."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self.is_open = True

    def send(self, path: str, digest: str) -> str | None:
        """Send one file, and give what jobs name it by; None: it has to go through the server.

        Args:
            digest: sha256 of its bytes, in hexadecimal digits.

        Raises:
            ServerRefused: the file changed meanwhile.
            SourceUnsupported: its ending is no picture's and no video's.
            ServerUnavailable.
        """
        told = self._signed(path) if self.is_open else None
        if told is None:
            return None
        place = urlsplit(told.url)
        try:
            sent = _put(path, told)
        except (BucketAway, BucketRefused) as error:
            self.is_open = False
            words = "%s takes no files from here (%s); they go through %s"
            logger.warning(words, f"{place.scheme}://{place.netloc}", error, self._caller.name)
            return None
        if sent != digest:
            raise ServerRefused(f"{path} changed while it was sent: see that nobody writes it, then submit again")
        return told.uri

    def _signed(self, path: str) -> Presigned | None:
        """Ask where to send a file to."""
        name = os.path.basename(path).encode("utf-8", "replace").decode()  # noqa: PTH119 - of each of many
        kind = mimetypes.guess_type(name)[0] or _ANY_TYPE
        file = FileBody(name=name, size_bytes=os.path.getsize(path), content_type=kind)  # noqa: PTH202
        body = encode(PresignBody(files=(file,)))
        try:
            # With a slash: what stands before a colon is a scheme otherwise.
            answer = self._caller.ask("POST", "/uploads:presign", body=body, is_repeatable=True)
        except (PresignUnavailable, ServerRefused):  # of a refusal that has another reason, the usual way tells more
            self.is_open = False
            return None
        (told,) = decode(answer, Page[Presigned]).data
        return told


def _put(path: str, told: Presigned) -> str:
    """Send a file, and give the sha256 of what was sent. The bucket sees nothing of the server's token.

    Raises:
        BucketAway, BucketRefused.
    """
    retrying = patient(
        lambda error: isinstance(error, BucketAway), math.inf, first_wait_s=0.2, most_wait_s=5.0, most_tries=_TRIES
    )
    return str(retrying(_put_once, path, told))


def _put_once(path: str, told: Presigned) -> str:
    hashed = hashlib.sha256()

    def content() -> Iterator[bytes]:
        with open(path, "rb") as file:  # noqa: PTH123
            while chunk := file.read(_CHUNK_BYTES):
                hashed.update(chunk)
                yield chunk

    limits = httpx.Timeout(_SILENCE_S, connect=_CONNECT_S)
    try:
        answer = httpx.request(told.method, told.url, headers=dict(told.headers), content=content(), timeout=limits)
    except httpx.ConnectError as error:
        raise BucketRefused(f"it does not answer: {error}") from error
    except (httpx.TransportError, httpx.InvalidURL) as error:  # a file that became shorter breaks off, too
        raise BucketAway(str(error) or type(error).__name__) from error
    if answer.is_success:
        return hashed.hexdigest()
    raise (BucketAway if answer.status_code in _PASSING else BucketRefused)(f"it answers {answer.status_code}")
