"""Messages of webhooks as those may see them whom they are about."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from jobstore.outbox import DeliveryState
from producer.answers import DeliveryAnswer

if TYPE_CHECKING:
    from jobstore.outbox import Delivery

_PLAIN = ("delivery_id", "job_id", "event", "state", "tries", "last_status", "last_error", "created", "delivered")


def told(found: Delivery) -> DeliveryAnswer:
    """Give a message without what is secret of it: its body, and the rest of its receiver's address."""
    known = {name: getattr(found, name) for name in _PLAIN}
    is_open = found.state is DeliveryState.PENDING
    return DeliveryAnswer(**known, receiver=receiver_of(found.url), next_at=found.next_at if is_open else None)


def receiver_of(url: str) -> str:
    """Give scheme and host of a receiver, which may be told."""
    address = urlsplit(url)
    return f"{address.scheme}://{address.netloc.rpartition('@')[2]}"
