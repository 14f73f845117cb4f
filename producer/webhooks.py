"""Sending webhooks: signed as Standard Webhooks says, tried again for a day, to public addresses only.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from fetching.errors import FetchDenied, FetchError
from fetching.http import retry_after_s
from fetching.policy import shown
from producer.deliveries import receiver_of
from producer.errors import WebhookSecretMissing

if TYPE_CHECKING:
    from fetching.http import Answer
    from jobstore.outbox import Delivery
    from jobstore.schema import JobId
    from jobstore.store import JobStore

logger = logging.getLogger(__name__)

#: Seconds after which a message that nobody took is given up.
GIVEN_UP_AFTER_S = 86_400.0
#: Seconds until the second try, and between two tries at most; doubled with each try in between.
FIRST_RETRY_S, LAST_RETRY_S = 5.0, 3600.0
#: Messages of one claim, and seconds after which others may send what a sender does not note: it sends one by one.
_BATCH, _LEASE_S = 1, 90.0
#: A receiver that answers so wants no more messages (Standard Webhooks, "Deliverability").
_GONE = 410
#: Only such variables sign, so that no job can have a message signed with another secret of the machine.
_SECRET_NAME = re.compile(r"[A-Z0-9_]*HOOK[A-Z0-9_]*")


class Poster(Protocol):
    """What messages are sent with; follows no redirect."""

    def post(self, url: str, content: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        """Send once and give the answer, whatever its status.

        Raises:
            FetchError: no answer, or the address is not allowed.
        """
        ...


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends what is due in the outbox.

    Attributes:
        secrets: the environment; signing secrets are looked up here and stored nowhere.
        jitter: gives a number from 0 to 1, so that receivers that were away are not asked by all at once.
    """

    store: JobStore
    client: Poster
    secrets: Mapping[str, str] = field(repr=False)
    jitter: Callable[[], float] = random.random
    clock: Callable[[], float] = time.time

    def send_due(self, job_id: JobId | None = None) -> int:
        """Send every message that is due, or those about one job; give the number of those that were taken.

        Raises:
            StoreUnavailable: what was sent and could not be noted is sent again, with the same id.
        """
        taken = 0
        while claimed := self.store.outbox.claim(_BATCH, _LEASE_S, job_id):
            taken += sum(self._send(delivery) for delivery in claimed)
        return taken

    def _send(self, delivery: Delivery) -> bool:
        status: int | None = None
        asked_s: float | None = None
        is_final = False
        try:
            answer = self.post(delivery.url, delivery.delivery_id, delivery.body, delivery.secret_env)
        except (FetchError, WebhookSecretMissing) as error:
            # The path of such an address is often a secret, which no row and no log needs.
            problem = str(error).replace(shown(delivery.url), receiver_of(delivery.url))
            is_final = isinstance(error, FetchDenied)
            asked_s = getattr(error, "retry_after_s", None)
        else:
            status = answer.status
            if 200 <= status < 300:
                return self.store.outbox.delivered(delivery, status)
            problem, is_final = f"the receiver answered {status}; expected 2xx", status == _GONE
            asked_s = retry_after_s(answer.headers.get("retry-after"))
        wait_s = None if is_final else next_wait_s(delivery.tries, delivery.age_s, asked_s, self.jitter())
        what = {"event": "webhook_failed", "delivery": delivery.delivery_id, "tries": delivery.tries}
        logger.warning("webhook %s: %s", delivery.event, problem, extra=what)
        self.store.outbox.failed(delivery, status, problem, wait_s)
        return False

    def post(self, url: str, delivery_id: str, body: str, secret_env: str | None) -> Answer:
        """Send one message once.

        Raises:
            FetchError: no answer, or the address is not allowed.
            WebhookSecretMissing: the variable of the signing secret is not set here.
        """
        timestamp, content = str(int(self.clock())), body.encode()
        headers = {"content-type": "application/json", "webhook-id": delivery_id, "webhook-timestamp": timestamp}
        if secret_env is not None:
            headers["webhook-signature"] = signature(self._secret(secret_env), delivery_id, timestamp, content)
        return self.client.post(url, content, headers)

    def _secret(self, name: str) -> str:
        if not _SECRET_NAME.fullmatch(name):
            raise WebhookSecretMissing(
                f"secret_env is {name!r}; expected a name in capitals that contains HOOK, such as HOOK_SECRET"
            )
        if not self.secrets.get(name):
            raise WebhookSecretMissing(f"the variable {name} is not set where webhooks are sent; set it and restart")
        return self.secrets[name]


def signature(secret: str, delivery_id: str, timestamp: str, content: bytes) -> str:
    """Give the header `webhook-signature`: the HMAC-SHA256 of id, timestamp and body.

    Args:
        secret: `whsec_` and base64, as services print it, or any other text, taken as its bytes.
    """
    signed = f"{delivery_id}.{timestamp}.".encode() + content
    return "v1," + base64.b64encode(hmac.new(_key(secret), signed, hashlib.sha256).digest()).decode()


def _key(secret: str) -> bytes:
    if secret.startswith("whsec_"):
        try:
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except binascii.Error as error:
            raise WebhookSecretMissing("a secret begins with whsec_ and goes on with what is no base64") from error
    return secret.encode()


def next_wait_s(tries: int, age_s: float, asked_s: float | None, jitter: float) -> float | None:
    """Give the seconds until the next try, half of which chance decides; None: the message is given up.

    Args:
        asked_s: seconds that the receiver asked to wait.
        jitter: from 0 to 1.
    """
    backoff_s = min(LAST_RETRY_S, FIRST_RETRY_S * 2 ** min(tries - 1, 20))
    wait_s = max(backoff_s * (0.5 + jitter / 2), asked_s or 0.0)
    return wait_s if age_s + wait_s <= GIVEN_UP_AFTER_S else None
