"""Webhooks against a receiver that takes, refuses, hangs, redirects; the signature checked by other code."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from fetching.http import Answer
from jobstore.aftercare import Webhook
from jobstore.outbox import Delivery, DeliveryState
from jobstore.store import JobStore
from producer.webhooks import GIVEN_UP_AFTER_S, LAST_RETRY_S, Sender, next_wait_s, signature
from tests.fixtures.hooks import Receiver, client, receiving
from tests.fixtures.jobs import add, run_to_end
from tests.fixtures.nightly import lose_claims


class Killed(BaseException):
    """As SIGKILL: nothing of ours catches it."""


class DiesAfterSending:
    """What messages are sent with, in a process that does not live to note it."""

    def post(self, url: str, content: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        client().post(url, content, headers)
        raise Killed


NOW = 1_795_000_000.7
KEY = bytes(range(24))
SECRETS = {"HOOK_SECRET": "whsec_" + base64.b64encode(KEY).decode(), "PLAIN_HOOK": "a phrase", "API_KEY": "sk-1"}


@pytest.fixture
def store(sqlite_url: str) -> Iterator[JobStore]:
    with JobStore.open(sqlite_url) as opened:
        opened.create_schema()
        yield opened


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def sender(store: JobStore, **options: object) -> Sender:
    return Sender(store, client(**options), SECRETS, jitter=lambda: 0.0, clock=lambda: NOW)


def tell(store: JobStore, url: str, secret_env: str | None = None) -> None:
    add(store, 1, webhooks=(Webhook(url, secret_env),))
    run_to_end(store)


def stored(store: JobStore) -> Delivery:
    (found,) = store.outbox.list()
    return found


def verify(headers: dict[str, str], body: bytes, key: bytes) -> None:
    """As the specification words it, for receivers."""
    signed = b".".join([headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body])
    version, _, given = headers["webhook-signature"].partition(",")
    assert version == "v1"
    assert hmac.compare_digest(base64.b64decode(given), hmac.new(key, signed, hashlib.sha256).digest())


def test_messages_about_one_job_are_sent_and_those_of_others_wait(store: JobStore, receiver: Receiver) -> None:
    for _ in range(2):
        tell(store, receiver.url)
    mine, other = store.outbox.list()
    assert mine.job_id is not None
    assert sender(store).send_due(mine.job_id) == 1
    assert [headers["webhook-id"] for headers, _ in receiver.got] == [mine.delivery_id]
    (left,) = store.outbox.list(states=(DeliveryState.PENDING,))
    assert (left.delivery_id, left.tries) == (other.delivery_id, 0)
    assert sender(store).send_due() == 1


@pytest.mark.parametrize(
    ("secret_env", "key"),
    [pytest.param("HOOK_SECRET", KEY, id="whsec"), pytest.param("PLAIN_HOOK", b"a phrase", id="phrase")],
)
def test_a_receiver_can_verify_what_it_gets(store: JobStore, receiver: Receiver, secret_env: str, key: bytes) -> None:
    tell(store, receiver.url, secret_env)
    assert sender(store).send_due() == 1
    ((headers, body),) = receiver.got
    verify(headers, body, key)
    assert headers["content-type"] == "application/json"
    assert headers["webhook-timestamp"] == str(int(NOW))
    assert headers["webhook-id"] == json.loads(body)["id"] == stored(store).delivery_id
    assert stored(store).state is DeliveryState.DELIVERED


def test_the_specifications_own_example_is_signed_as_it_says() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105
    content = b'{"test": 2432232314}'
    given = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", content)
    assert given == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_message_without_a_secret_is_not_signed(store: JobStore, receiver: Receiver) -> None:
    tell(store, receiver.url)
    sender(store).send_due()
    assert "webhook-signature" not in receiver.got[0][0]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        pytest.param("OTHER_HOOK", "OTHER_HOOK is not set where webhooks are sent", id="not set"),
        pytest.param("API_KEY", "contains HOOK", id="another secret of the machine"),
    ],
)
def test_a_message_whose_secret_is_missing_waits(store: JobStore, receiver: Receiver, name: str, words: str) -> None:
    tell(store, receiver.url, name)
    sender(store).send_due()
    assert receiver.got == []
    assert words in (stored(store).last_error or "")
    assert stored(store).state is DeliveryState.PENDING


def test_a_receiver_that_fails_is_asked_again_with_the_same_id(store: JobStore, receiver: Receiver) -> None:
    receiver.answers = [(500, {}), (503, {"retry-after": "120"}), (200, {})]
    tell(store, receiver.url)
    waits = []
    for _ in range(3):
        sender(store).send_due()
        waits.append(stored(store).next_at - stored(store).created)
        lose_claims(store)
    assert waits[0] == pytest.approx(2.5, abs=2)
    assert waits[1] == pytest.approx(120, abs=5)
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert (stored(store).state, stored(store).tries) == (DeliveryState.DELIVERED, 3)


def test_a_receiver_that_is_gone_is_asked_no_more(store: JobStore, receiver: Receiver) -> None:
    receiver.answers = [(410, {})]
    tell(store, receiver.url)
    sender(store).send_due()
    assert (stored(store).state, stored(store).last_status) == (DeliveryState.GIVEN_UP, 410)


def test_a_redirect_is_not_followed(store: JobStore, receiver: Receiver) -> None:
    receiver.answers = [(302, {"location": receiver.url + "/other"})]
    tell(store, receiver.url)
    sender(store).send_due()
    assert len(receiver.got) == 1
    assert "answered 302; expected 2xx" in (stored(store).last_error or "")


def test_a_receiver_that_hangs_is_left(store: JobStore, receiver: Receiver) -> None:
    receiver.answers = [None]
    tell(store, receiver.url)
    sender(store, read_s=0.2).send_due()
    assert stored(store).state is DeliveryState.PENDING
    assert "no byte came for 0.2 s" in (stored(store).last_error or "")


def test_nobody_who_listens_is_no_end(store: JobStore) -> None:
    tell(store, "http://127.0.0.1:9/hook")
    sender(store).send_due()
    assert (stored(store).state, stored(store).last_status) == (DeliveryState.PENDING, None)


def test_a_private_address_is_refused_and_not_asked(store: JobStore, receiver: Receiver) -> None:
    tell(store, receiver.url)
    sender(store, allow_private=False).send_due()
    assert receiver.got == []
    assert stored(store).state is DeliveryState.GIVEN_UP
    assert "this machine itself" in (stored(store).last_error or "")


def test_a_sender_killed_before_its_note_leaves_the_message_to_the_next(store: JobStore, receiver: Receiver) -> None:
    tell(store, receiver.url)
    with pytest.raises(Killed):
        Sender(store, DiesAfterSending(), SECRETS).send_due()
    assert sender(store).send_due() == 0
    lose_claims(store)
    assert sender(store).send_due() == 1
    first, second = (headers["webhook-id"] for headers, _ in receiver.got)
    assert first == second


def test_no_secret_is_in_the_database(store: JobStore, receiver: Receiver, sqlite_url: str) -> None:
    tell(store, receiver.url, "HOOK_SECRET")
    sender(store).send_due()
    files = list(Path(sqlite_url.removeprefix("sqlite:///")).parent.glob("*"))
    assert not any(SECRETS["HOOK_SECRET"].encode() in path.read_bytes() for path in files if path.is_file())
    assert "whsec" not in repr(sender(store))


@pytest.mark.parametrize(
    ("tries", "age_s", "asked_s", "jitter", "expected"),
    [
        pytest.param(1, 0, None, 0.0, 2.5, id="first, least"),
        pytest.param(1, 0, None, 1.0, 5.0, id="first, most"),
        pytest.param(3, 60, None, 1.0, 20.0, id="doubled"),
        pytest.param(30, 60, None, 1.0, LAST_RETRY_S, id="at most an hour"),
        pytest.param(1, 0, 600.0, 1.0, 600.0, id="as long as was asked"),
        pytest.param(1, 0, 2 * GIVEN_UP_AFTER_S, 1.0, None, id="longer than a day"),
        pytest.param(30, GIVEN_UP_AFTER_S, None, 0.0, None, id="a day is over"),
    ],
)
def test_how_long_the_next_try_waits(
    tries: int, age_s: float, asked_s: float | None, jitter: float, expected: float | None
) -> None:
    assert next_wait_s(tries, age_s, asked_s, jitter) == expected
