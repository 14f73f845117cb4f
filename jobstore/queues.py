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


class MessageInvalid(JobStoreError):
    """A queue entry is not a message of this version; it is set aside, the shard stays in SQL."""

    code = "message_invalid"


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


def idle_queue(hardware: str) -> str:
    """What a worker listens to while its class has no work; nothing is ever sent there."""
    return f"{_PREFIX}.{hardware}"


def encode_hint(hint: Hint) -> dict[str, Any]:
    """The body of a message: ids only, everything else is read from SQL."""
    return {"v": MESSAGE_VERSION, "shard": hint.shard_id, "attempt": hint.attempt}


def decode_hint(message: Mapping[str, Any], queue: str) -> Hint:
    """Check a message's body.

    Raises:
        MessageInvalid: another version, or not the fields of this one.
    """
    if message.get("v") != MESSAGE_VERSION:
        raise MessageInvalid(f"message version {message.get('v')!r}, this worker reads {MESSAGE_VERSION}")
    shard, attempt = message.get("shard"), message.get("attempt")
    if set(message) != {"v", "shard", "attempt"} or not isinstance(shard, str) or type(attempt) is not int:
        raise MessageInvalid(f"expected the fields v, shard and attempt, found {sorted(map(str, message))}")
    return Hint(queue, ShardId(shard), attempt)
