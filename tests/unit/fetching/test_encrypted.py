"""TLS speaks of the host's name, although its checked address is what is connected to."""

import pytest

from fetching.errors import FetchDenied, FetchFailed
from fetching.http import SafeClient
from fetching.policy import FetchPolicy
from tests.fixtures.encrypted import NAME


@pytest.fixture
def make_client(encrypted):
    clients = []

    def make(*, is_trusting=True):
        policy = FetchPolicy(allow_private=True, allowed_ports=frozenset({encrypted.server_port}), attempts=1)
        trusted = encrypted.trusted if is_trusting else None
        clients.append(SafeClient(policy, lambda *_: ["127.0.0.1"], trusted))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def test_the_name_is_asked_for_in_tls_and_in_http(encrypted, make_client):
    assert make_client().get(f"https://{NAME}:{encrypted.server_port}/ok") == b"ok"
    assert encrypted.names == [NAME]
    assert encrypted.hosts == [f"{NAME}:{encrypted.server_port}"]


def test_a_certificate_for_another_name_is_refused(encrypted, make_client):
    with pytest.raises(FetchFailed, match="certificate"):
        make_client().get(f"https://other.example:{encrypted.server_port}/ok")
    assert encrypted.hosts == []


def test_a_certificate_that_nobody_vouches_for_is_refused(encrypted, make_client):
    with pytest.raises(FetchFailed, match="certificate"):
        make_client(is_trusting=False).get(f"https://{NAME}:{encrypted.server_port}/ok")
    assert encrypted.hosts == []


def test_a_redirect_from_https_to_http_is_refused(encrypted, make_client):
    with pytest.raises(FetchDenied, match="not encrypted"):
        make_client().get(f"https://{NAME}:{encrypted.server_port}/down")
    assert len(encrypted.hosts) == 1
