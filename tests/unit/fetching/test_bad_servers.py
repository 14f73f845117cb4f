"""What a fetch makes of servers that lie, stall, break off or send too much; each over a real connection."""

import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from fetching.errors import (
    FetchAnswerInvalid,
    FetchDenied,
    FetchFailed,
    FetchForbidden,
    FetchNotFound,
    FetchTimeout,
    FetchTooLarge,
)
from fetching.http import SafeClient, retry_after_s
from fetching.policy import FetchPolicy
from tests.fixtures.evil_http import BODY


@pytest.fixture
def make_client(evil):
    """A function that gives a client which may ask the server; its other limits are short."""
    clients = []

    def make(resolve=None, **limits):
        policy = FetchPolicy(
            **{
                "allow_private": True,
                "allowed_ports": frozenset({evil.port}),
                "deadline_s": 20.0,
                "read_s": 10.0,
                "attempts": 1,
                "max_bytes": 1 << 20,
            }
            | limits
        )
        clients.append(SafeClient(policy, resolve) if resolve else SafeClient(policy))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


REFUSED = {
    "a redirect without end": ("loop", FetchAnswerInvalid),
    "six redirects": ("hops?left=6", FetchAnswerInvalid),
    "a redirect to nowhere": ("nowhere", FetchAnswerInvalid),
    "a file": ("to?url=file:///etc/passwd", FetchDenied),
    "another scheme": ("to?url=gopher://127.0.0.1:6379/_FLUSHALL", FetchDenied),
    "the metadata address": ("to?url=http://169.254.169.254/latest/meta-data/", FetchDenied),
    "the metadata address by 307": ("to?code=307&url=http://169.254.169.254/", FetchDenied),
    "the metadata address as a number": ("to?url=http://2852039166/", FetchDenied),
    "the metadata address by version 6": ("to?url=http://[::ffff:a9fe:a9fe]/", FetchDenied),
    "another port": ("to?url=http://127.0.0.1:6379/", FetchDenied),
    "a place without scheme": ("to?url=//169.254.169.254/", FetchDenied),
    "a user": ("to?url=http://a:b@127.0.0.1/", FetchDenied),
    "a broken address": ("to?url=http://[::1/", FetchDenied),
    "400": ("status?code=400", FetchAnswerInvalid),
    "401": ("status?code=401", FetchForbidden),
    "403": ("status?code=403", FetchForbidden),
    "404": ("status?code=404", FetchNotFound),
    "410": ("status?code=410", FetchNotFound),
    "418": ("status?code=418", FetchAnswerInvalid),
    "429": ("status?code=429", FetchFailed),
    "500": ("status?code=500", FetchFailed),
    "503": ("status?code=503", FetchFailed),
    "501": ("status?code=501", FetchAnswerInvalid),
    "a part nobody asked for": ("partial", FetchAnswerInvalid),
    "a compressed body": ("gzip", FetchAnswerInvalid),
    "a body without end": ("endless", FetchTooLarge),
    "a length beyond the limit": ("huge", FetchTooLarge),
    "a negative length": ("negative", FetchFailed),
    "two lengths": ("two_lengths", FetchFailed),
    "a body that breaks off": ("short", FetchFailed),
    "a connection that is reset": ("reset", FetchFailed),
    "broken chunks": ("broken_chunks", FetchFailed),
    "headers without end": ("headers", FetchFailed),
    "no HTTP": ("garbage", FetchFailed),
    "no answer at all": ("silent", FetchFailed),
}


@pytest.mark.parametrize(("path", "kind"), REFUSED.values(), ids=REFUSED)
def test_a_bad_answer_is_an_error_of_the_right_class(evil, make_client, path, kind):
    with pytest.raises(kind):
        make_client().get(f"{evil.url}/{path}")


@pytest.mark.parametrize("path", ["drip", "drip_headers", "continue"])
def test_bytes_that_drip_end_at_the_deadline(evil, make_client, path):
    with pytest.raises(FetchTimeout):
        make_client(deadline_s=0.5).get(f"{evil.url}/{path}")


def test_silence_ends_at_its_own_limit(evil, make_client):
    with pytest.raises(FetchTimeout, match=r"0\.3 s"):
        make_client(read_s=0.3).get(f"{evil.url}/hang")


def test_a_good_answer_gives_its_bytes_and_nothing_of_ours_is_told(evil, make_client):
    assert make_client().get(f"{evil.url}/ok") == BODY
    assert evil.headers[0] == {
        "Host": f"127.0.0.1:{evil.port}",
        "User-Agent": "nightshift",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
    }


def test_what_comes_after_the_declared_length_is_not_read(evil, make_client):
    assert make_client().get(f"{evil.url}/too_long") == BODY


def test_five_redirects_are_followed(evil, make_client):
    assert make_client().get(f"{evil.url}/hops?left=5") == BODY
    assert evil.hits == ["/hops"] * 6


def test_proxies_of_the_environment_are_not_asked(evil, make_client, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert make_client().get(f"{evil.url}/ok") == BODY


@pytest.mark.parametrize("path", ["busy?times=2", "short_once"])
def test_what_passes_is_tried_again(evil, make_client, path):
    assert make_client(attempts=3).get(f"{evil.url}/{path}") == BODY


def test_what_does_not_pass_is_asked_once(evil, make_client):
    with pytest.raises(FetchNotFound):
        make_client(attempts=5).get(f"{evil.url}/status?code=404")
    assert len(evil.hits) == 1


def test_a_wait_that_the_deadline_does_not_hold_is_told_and_not_begun(evil, make_client):
    with pytest.raises(FetchFailed) as caught:
        make_client(attempts=3).get(f"{evil.url}/busy?after=3600")
    assert caught.value.retry_after_s == 3600
    assert len(evil.hits) == 1


def test_a_wish_to_wait_is_heeded(evil, make_client):
    started = time.monotonic()
    assert make_client(attempts=2).get(f"{evil.url}/busy?after=1") == BODY
    assert time.monotonic() - started >= 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("12", 12.0), ("0", 0.0), ("-5", None), ("soon", None), ("nan", None), ("9" * 400, None), (None, None)],
)
def test_a_wish_to_wait_is_read_if_it_is_one(value, seconds):
    assert retry_after_s(value) == seconds


def test_a_wish_to_wait_may_be_a_date():
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert 50 < retry_after_s(in_a_minute) <= 60
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0


def test_a_post_gives_whatever_was_answered_and_follows_nothing(evil, make_client):
    answer = make_client().post(f"{evil.url}/to?url=/ok", b"{}", {"Content-Type": "application/json"})
    assert (answer.status, answer.headers["location"]) == (302, "/ok")
    assert make_client().post(f"{evil.url}/endless", b"{}").status == 200
    assert evil.hits == ["/to", "/endless"]


def test_a_post_to_a_private_address_is_denied(evil):
    with SafeClient(FetchPolicy(allowed_ports=frozenset({evil.port}))) as client, pytest.raises(FetchDenied):
        client.post(f"{evil.url}/ok", b"{}")
    assert evil.hits == []


class Names:
    """A resolver whose answers change from one question to the next."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def __call__(self, host, port):
        self.asked.append(host)
        answer = self.answers[min(len(self.asked), len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer


INSIDE = {
    "loopback": ["127.0.0.1"],
    "loopback of version 6": ["::1"],
    "a mapped loopback": ["::ffff:127.0.0.1"],
    "metadata": ["169.254.169.254"],
    "a private address": ["10.0.0.8"],
    "a zone": ["fe80::1%eth0"],
    "both worlds": ["93.184.215.14", "127.0.0.1"],
    "both worlds, the inner first": ["127.0.0.1", "93.184.215.14"],
}


@pytest.mark.parametrize("answer", INSIDE.values(), ids=INSIDE)
def test_a_name_that_leads_inside_is_denied_and_nothing_is_connected_to(evil, make_client, answer):
    client = make_client(Names(answer), allow_private=False)
    with pytest.raises(FetchDenied, match="leads to"):
        client.get(f"http://trap.example:{evil.port}/ok")
    assert evil.hits == []


def test_a_name_is_resolved_once_and_what_was_checked_is_connected_to(evil, make_client):
    """The second answer would be refused: nobody asks for it, within one connection."""
    names = Names(["127.0.0.1"], ["169.254.169.254"])
    client = make_client(names)
    assert client.get(f"http://photos.example:{evil.port}/ok") == BODY
    assert names.asked == ["photos.example"]
    assert evil.headers[0]["Host"] == f"photos.example:{evil.port}"


def test_a_name_that_is_rebound_before_a_redirect_is_denied(evil, make_client):
    names = Names(["127.0.0.1"], ["169.254.169.254"])
    with pytest.raises(FetchDenied, match=r"169\.254\.169\.254"):
        make_client(names).get(f"http://a.example:{evil.port}/to?url=http://b.example:{evil.port}/ok")
    assert evil.hits == ["/to"]


def test_the_next_address_of_a_host_is_tried_where_the_first_refuses(evil, make_client):
    assert make_client(Names(["127.0.0.2", "127.0.0.1"])).get(f"http://two.example:{evil.port}/ok") == BODY


@pytest.mark.parametrize("answer", [socket.gaierror(-2, "Name or service not known"), []], ids=["an error", "nothing"])
def test_a_name_that_nobody_knows_may_be_known_later(make_client, evil, answer):
    with pytest.raises(FetchFailed, match="is the name right"):
        make_client(Names(answer)).get(f"http://gone.example:{evil.port}/ok")


def test_a_server_without_a_certificate_for_its_name_is_not_read(evil, make_client):
    with pytest.raises(FetchFailed):
        make_client(Names(["127.0.0.1"])).get(f"https://photos.example:{evil.port}/ok")
