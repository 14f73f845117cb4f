"""Names of queues and the form of the messages in them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from jobstore.errors import JobStoreError
from jobstore.schema import Hint, ShardId

TASK_NAME = "nightshift.run_shard"
MESSAGE_VERSION = 1
_PREFIX = "infer"
_SLUG_LENGTH = 48
#: A UUID has 36 characters, an INTEGER column 31 bits.
_ID_LENGTH, _INT_MAX = 64, 2**31 - 1


class MessageInvalid(JobStoreError):
    """A queue entry does not have the fields of a message; it is set aside, the shard stays in SQL."""

    code = "message_invalid"


class MessageVersionUnknown(MessageInvalid):
    """A queue entry is a message of another version; it is set aside, the shard stays in SQL."""

    code = "message_version_unknown"


def queue_name(hardware: str, model: str) -> str:
    """The queue of one model and hardware class: `infer.<hardware>.<slug>`.

    A slug of lower-case letters, digits, dot, dash and underscore survives Celery's `-Q`, kombu's priority separator,
    shells and metric labels. Whenever it differs from the model's name, eight hexadecimal digits of the name's hash
    keep two models apart.
    """
    slug = re.sub(r"[^a-z0-9._-]+", "-", model.lower()).strip("-.")[-_SLUG_LENGTH:].strip("-.") or "model"
    if slug != model:
        slug = f"{slug}-{hashlib.blake2s(model.encode(), digest_size=4).hexdigest()}"
    return f"{_PREFIX}.{hardware}.{slug}"


def is_hardware(text: str) -> bool:
    """Whether this can be the name of a hardware class."""
    return re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", text) is not None


def hardware_of(queue: str) -> str:
    """The hardware class in a queue's name; no class has a dot in it."""
    return queue.split(".", 2)[1]


def idle_queue(hardware: str) -> str:
    """What a worker listens to while its class has no work; nothing is ever sent there."""
    return f"{_PREFIX}.{hardware}"


def encode_hint(hint: Hint) -> dict[str, Any]:
    """The body of a message: ids only, everything else is read from SQL."""
    return {"v": MESSAGE_VERSION, "shard": hint.shard_id, "attempt": hint.attempt}


def decode_hint(message: Mapping[str, Any], queue: str) -> Hint:
    """Check a message's body.

    Raises:
        MessageVersionUnknown: another version.
        MessageInvalid: not the fields of this one, or what no database can look up.
    """
    version = message.get("v")
    if type(version) is not int or version != MESSAGE_VERSION:
        raise MessageVersionUnknown(f"message version {version!r}, this worker reads {MESSAGE_VERSION}")
    shard, attempt = message.get("shard"), message.get("attempt")
    if set(message) != {"v", "shard", "attempt"} or not isinstance(shard, str) or type(attempt) is not int:
        raise MessageInvalid(f"expected the fields v, shard and attempt, found {sorted(map(str, message))}")
    if not (0 < len(shard) <= _ID_LENGTH and shard.isprintable() and 0 < attempt <= _INT_MAX):
        raise MessageInvalid(f"expected a shard's id and an attempt of 1 or more, found {shard[:80]!r} and {attempt}")
    return Hint(queue, ShardId(shard), attempt)
