"""F36: where a host of models leads is looked at before anything connects there, whatever its name server says."""

import socket
from dataclasses import replace

import pytest

from inference_engine.connecting import HostRule
from inference_engine.downloads import Download, download
from inference_engine.errors import DownloadRefused, ProviderUnavailable
from inference_engine.providers import ProviderOptions
from inference_engine.remote_packages import RemoteFile
from inference_engine.transport import Limits, make_client
from tests.fixtures.encrypted import NAME

LIMITS = Limits(wait_s=0.01, max_wait_s=0.02, attempts=2, connect_s=5, read_s=5, allow_http=True)
INSIDE = ["10.0.0.3", "192.168.1.1", "127.0.0.1", "::1", "100.64.0.9", "fc00::1", "::ffff:10.0.0.3"]
NEVER = ["169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "::ffff:169.254.169.254"]


def fetch(folder, url, answers, limits=LIMITS):
    """Ask for a file; each lookup of a name takes the next of `answers`, the last one again and again."""
    left = list(answers)

    def resolve(host, port):
        return left.pop(0) if len(left) > 1 else left[0]

    with make_client(limits, resolve) as client:
        return download(client, Download(url), RemoteFile("weights.bin"), folder, limits)


@pytest.mark.parametrize("address", [*INSIDE, *NEVER])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_host_that_leads_inside_is_refused_and_nothing_is_connected_to(evil, tmp_path, scheme, address):
    with pytest.raises(DownloadRefused, match=r"models\.example leads to"):
        fetch(tmp_path, f"{scheme}://models.example:{evil.port}/ok", [[address]])

    assert evil.hits == []
    assert not (tmp_path / "weights.bin").exists()


@pytest.mark.parametrize("address", NEVER)
def test_metadata_is_refused_although_the_operator_names_the_host(address):
    with pytest.raises(DownloadRefused, match=r"models\.example leads to"):
        HostRule(("*",)).check_address("models.example", address)


def test_a_name_that_leads_to_both_worlds_is_refused(evil, tmp_path):
    with pytest.raises(DownloadRefused):
        fetch(tmp_path, f"http://models.example:{evil.port}/ok", [["93.184.215.14", "127.0.0.1"]])

    assert evil.hits == []


def test_a_name_that_is_rebound_before_a_redirect_is_refused(evil, tmp_path):
    named = replace(LIMITS, private_hosts=("models.example",))
    there = f"http://other.example:{evil.port}/ok"

    with pytest.raises(DownloadRefused, match=r"other\.example leads to 169\.254\.169\.254"):
        fetch(
            tmp_path, f"http://models.example:{evil.port}/to?url={there}", [["127.0.0.1"], ["169.254.169.254"]], named
        )

    assert evil.hits == ["/to"]


@pytest.mark.parametrize("pattern", ["models.example", "*.EXAMPLE", "*"])
def test_a_host_that_the_operator_names_may_stand_in_a_private_network(evil, tmp_path, pattern):
    named = replace(LIMITS, private_hosts=(pattern,))

    fetch(tmp_path, f"http://models.example:{evil.port}/ok", [["127.0.0.1"]], named)

    assert (tmp_path / "weights.bin").is_file()


def test_this_machine_is_asked_by_its_own_names_only(evil, tmp_path):
    fetch(tmp_path, f"http://localhost:{evil.port}/ok", [["127.0.0.1"]])

    assert evil.hits == ["/ok"]


def test_the_hosts_of_providers_that_the_operator_sets_are_named_by_that():
    options = ProviderOptions(hosts={"roboflow": "https://models.corp:8443/x"}, private_hosts=("*.inner",))

    assert options.asking_limits.private_hosts == ("*.inner", "models.corp")


def test_a_name_without_an_address_is_asked_for_again_and_is_unavailable(tmp_path):
    asked = []

    def resolve(host, port):
        asked.append(host)
        raise socket.gaierror("Name or service not known")

    with make_client(LIMITS, resolve) as client, pytest.raises(ProviderUnavailable, match="not known"):
        download(client, Download("https://models.example/f"), RemoteFile("weights.bin"), tmp_path, LIMITS)

    assert asked == ["models.example"] * LIMITS.attempts


def test_tls_speaks_of_the_hosts_name_and_a_certificate_that_nobody_vouches_for_is_refused(encrypted, tmp_path):
    with pytest.raises(ProviderUnavailable, match="certificate"):
        fetch(
            tmp_path,
            f"https://{NAME}:{encrypted.server_port}/ok",
            [["127.0.0.1"]],
            replace(LIMITS, private_hosts=("*",)),
        )

    assert set(encrypted.names) == {NAME}
    assert encrypted.hosts == []
