"""What stands between Redis and Celery: an entry of a queue is one of our messages, or it is set aside.

kombu and Celery believe what they read. Of 28 crafted entries nine end a stock worker, three of them again after each
restart, and a body of 400 kB inflates to 900 MB before anybody looks at it. So nothing foreign gets as far as kombu:
an entry is read against a closed form, and what is handed on is written anew from the fields that were read.
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Callable
from typing import Any, Literal

import msgspec
from celery import bootsteps

from jobstore.errors import JobStoreError
from jobstore.queues import TASK_NAME, MessageInvalid, decode_hint, encode_hint
from jobstore.schema import QuarantinedMessage, WorkerId
from jobstore.store import JobStore
from workers.metrics import Meter

logger = logging.getLogger(__name__)

#: A hint takes about 1 kB.
MAX_MESSAGE_BYTES = 64 * 1024
#: Bytes of a refused entry that are kept for people to look at.
SHOWN_BYTES = 200

#: Why an entry was set aside; the codes of decoding a hint come from its errors.
REFUSALS = {
    "message_too_large": f"a queue entry of more than {MAX_MESSAGE_BYTES // 1024} kB; a message takes about 1 kB",
    "message_not_json": "a queue entry that is no JSON",
    "message_envelope": "a queue entry without the fields of a Celery message, or with other types in them",
    "message_compressed": "a message whose body is compressed; it is refused before it is inflated",
    "message_content_type": "a message whose body is not JSON in UTF-8, such as a pickle",
    "message_task_unknown": "a message for a task that is not ours",
    "message_body": "a message whose body has another form than a task without callbacks",
}


class MessageRefused(JobStoreError):
    """An entry of a queue is not one of our messages. `reason` is a code of `REFUSALS` or of decoding a hint."""

    code = "message_refused"

    def __init__(self, reason: str, words: str) -> None:
        # What others wrote may stand in the words: no database takes each of its characters.
        super().__init__("".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in words))
        self.reason = reason


class _Address(msgspec.Struct):
    exchange: Literal[""]
    routing_key: str


class _Properties(msgspec.Struct):
    delivery_tag: str
    delivery_info: _Address
    body_encoding: Literal["base64"]
    correlation_id: str | None = None
    reply_to: str | None = None
    delivery_mode: int = 2
    priority: int = 0


class _Headers(msgspec.Struct):
    """The headers that Celery acts upon. No time, no retry, no limit: SQL decides over those."""

    task: str
    id: str
    lang: str | None = None
    root_id: str | None = None
    parent_id: str | None = None
    origin: str | None = None
    argsrepr: str | None = None
    kwargsrepr: str | None = None
    eta: None = None
    expires: None = None
    retries: Literal[0] = 0
    timelimit: tuple[None, None] = (None, None)


class _Envelope(msgspec.Struct, rename="kebab"):
    body: str
    content_type: str
    content_encoding: str
    headers: _Headers
    properties: _Properties


class _Callbacks(msgspec.Struct, forbid_unknown_fields=True):
    """What Celery would run after the task: nothing."""

    callbacks: None = None
    errbacks: None = None
    chain: None = None
    chord: None = None


class _Compression(msgspec.Struct):
    compression: str = ""


class _Peek(msgspec.Struct):
    """The header for which an entry is refused whatever else is wrong with it."""

    headers: _Compression = msgspec.field(default_factory=_Compression)


_ENVELOPE, _PEEK = msgspec.json.Decoder(_Envelope), msgspec.json.Decoder(_Peek)
_BODY = msgspec.json.Decoder(tuple[tuple[()], dict[str, Any], _Callbacks])


def admit(entry: bytes, queue: str) -> bytes:
    """Read an entry of a queue and write it anew, from nothing but what was read.

    Raises:
        MessageRefused: it is not one of our messages; nothing of it was inflated, unpickled or looked up.
    """
    if len(entry) > MAX_MESSAGE_BYTES:
        raise MessageRefused("message_too_large", f"{len(entry)} bytes, at most {MAX_MESSAGE_BYTES} are read")
    envelope = _envelope(entry)
    if (envelope.content_type, envelope.content_encoding) != ("application/json", "utf-8"):
        found = f"{envelope.content_type!r} in {envelope.content_encoding!r}"
        raise MessageRefused("message_content_type", f"a body of type {found}, expected application/json in utf-8")
    if envelope.headers.task != TASK_NAME:
        raise MessageRefused("message_task_unknown", f"task {envelope.headers.task[:80]!r}, expected {TASK_NAME}")
    if envelope.properties.delivery_info.routing_key != queue:
        raise MessageRefused(
            "message_envelope", f"sent to {envelope.properties.delivery_info.routing_key[:80]!r}, found in {queue}"
        )
    try:
        hint = decode_hint(_keyword_arguments(envelope.body), queue)
    except MessageInvalid as error:
        raise MessageRefused(error.code, str(error)) from error
    body = msgspec.json.encode(((), encode_hint(hint), _Callbacks()))
    envelope.body = base64.b64encode(body).decode("ascii")
    return msgspec.json.encode(envelope)


def _envelope(entry: bytes) -> _Envelope:
    try:
        compression = _PEEK.decode(entry).headers.compression
    except (msgspec.DecodeError, RecursionError):
        compression = ""
    if compression:
        raise MessageRefused("message_compressed", f"a body compressed with {compression[:80]!r}, expected a plain one")
    try:
        return _ENVELOPE.decode(entry)
    except msgspec.ValidationError as error:
        raise MessageRefused("message_envelope", f"not a message: {error}") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise MessageRefused("message_not_json", f"not JSON: {error}") from error


def _keyword_arguments(body: str) -> dict[str, Any]:
    try:
        _, keywords, _ = _BODY.decode(base64.b64decode(body, validate=True))
    except (binascii.Error, msgspec.DecodeError, RecursionError, ValueError) as error:
        raise MessageRefused("message_body", f"not a task's body: {error}") from error
    return keywords


def printable(entry: bytes) -> str:
    """Give the first bytes of an entry in characters that any terminal and database take."""
    return repr(entry[:SHOWN_BYTES])[2:-1]


class Gate(bootsteps.StartStopStep):  # type: ignore[misc]
    """Lets only our messages through to kombu; what is refused becomes a row of `quarantined_messages`.

    It is the callback that redis-py runs over BRPOP's answer, the one place before kombu parses an entry: kombu's own
    hooks come after `json.loads`, after the message's constructor has inflated its body, and outside any `try`. An
    entry that BRPOP gave is out of Redis already, so one that is refused comes back to nobody.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)
    store: JobStore
    worker_id: WorkerId
    meter: Meter

    def start(self, c: Any) -> None:
        """Stand before the consumer's channel; a new connection makes a new channel and calls this again."""
        channel = c.task_consumer.channel
        client = channel.client
        client.set_response_callback("BRPOP", self._screen(channel.sep.encode(), client.response_callbacks["BRPOP"]))

    def _screen(self, separator: bytes, earlier: Callable[..., Any]) -> Callable[..., Any]:
        def screened(answer: Any, **options: Any) -> tuple[bytes, bytes] | None:
            found = earlier(answer, **options)
            if not found:
                return None
            key, entry = found
            queue = key.rsplit(separator, 1)[0].decode("utf-8", "replace")
            try:
                return key, admit(entry, queue)
            except MessageRefused as refused:
                self._set_aside(queue, entry, refused)
                return None  # kombu takes it for a BRPOP that found nothing, and asks again

        return screened

    def _set_aside(self, queue: str, entry: bytes, refused: MessageRefused) -> None:
        logger.error(
            "a message in %s was set aside: %s",
            queue,
            refused,
            extra={"event": "message_quarantined", "queue": queue, "error.code": refused.reason},
        )
        self.meter.quarantined(refused.reason)
        row = QuarantinedMessage(queue, refused.reason, str(refused), printable(entry), len(entry), self.worker_id)
        try:
            self.store.fleet.quarantine(row)
        except JobStoreError as error:
            logger.warning("no row for it: %s", error, extra={"event": "quarantine_failed"})


def gate_step(store: JobStore, worker_id: WorkerId, meter: Meter) -> type[Gate]:
    """The boot step for this process; Celery makes the instance itself."""
    return type("Gate", (Gate,), {"store": store, "worker_id": worker_id, "meter": meter})
