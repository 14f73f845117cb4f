"""`nightshift serve` and `token`: where a server may listen, what it needs, and who is let in."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import pytest
from click.testing import CliRunner

from jobstore.tokens import Role
from nightshift.cli import cli
from nightshift.cli.serve import ROLES
from nightshift.errors import AddressTaken
from nightshift.serving import bind, is_loopback
from nightshift.settings import load_settings
from tests.fixtures.cli import DEADLINE_S

EVERYWHERE = "0.0.0.0"  # noqa: S104 (never listened on here)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Call a command in this process, on a data folder of its own."""
    monkeypatch.setenv("NIGHTSHIFT_DATA_DIR", str(tmp_path))

    def call(*arguments: str, code: int = 0) -> str:
        done = CliRunner().invoke(cli, list(arguments))
        assert done.exit_code == code, done.output
        return done.stdout

    return call


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), (EVERYWHERE, False), ("::", False),
     ("192.168.1.4", False), ("example.org", False), ("localhost.example.org", False)],
    ids=str,
)  # fmt: skip
def test_only_loopback_addresses_are_this_machines_alone(host, expected):
    assert is_loopback(host) is expected


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "10.0.0.7"], ids=str)
@pytest.mark.parametrize("command", ["serve", "up"])
def test_no_auth_is_refused_where_other_machines_reach_the_server(run, command, host):
    run(command, "--no-auth", "--host", host, code=2)


def test_a_port_that_is_taken_is_an_error_that_says_so():
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(AddressTaken, match="cannot listen on"):
        bind("127.0.0.1", other.getsockname()[1])


def test_an_address_is_told_as_people_type_it():
    address = bind("127.0.0.1", 0)
    with address.listener:
        assert address.url == f"http://127.0.0.1:{address.listener.getsockname()[1]}"


def test_what_is_accepted_sends_its_answers_body_without_waiting_for_the_heads_acknowledgement():
    with bind("127.0.0.1", 0).listener as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize(
    ("host", "roots", "expected"),
    [("127.0.0.1", "", None), (EVERYWHERE, "", ()), (EVERYWHERE, "/photos", ("/photos",)),
     ("127.0.0.1", "/photos", ("/photos",))],
    ids=["this machine", "others", "others, with roots", "this machine, with roots"],
)  # fmt: skip
def test_other_machines_read_no_folder_that_was_not_allowed(monkeypatch, host, roots, expected):
    monkeypatch.setenv("NIGHTSHIFT_FETCH__ALLOWED_ROOTS", roots)
    assert load_settings().server_options(host, needs_token=True).fetch.allowed_roots == expected


def test_the_command_line_knows_every_role():
    assert list(Role) == list(ROLES)


def test_a_token_is_printed_once_and_listed_by_its_name(run):
    made = json.loads(run("token", "create", "ci", "--role", "reader", "--expires", "1d", "--json"))
    listed = run("token", "ls", "--json")
    assert made["token"] not in listed
    row = json.loads(listed)
    assert (row["name"], row["role"], row["tenant"], row["token_id"]) == ("ci", "reader", "default", made["token_id"])
    assert row["expires"] - row["created"] == pytest.approx(86_400, abs=1)


def test_a_revoked_token_stays_in_the_list_and_is_revoked_once(run):
    run("token", "create", "ci")
    run("token", "revoke", "ci")
    assert json.loads(run("token", "ls", "--json"))["revoked"] is not None
    run("token", "revoke", "ci", code=2)


def test_help_and_a_list_of_jobs_load_no_server(tmp_path):
    script = (
        "import sys; from nightshift.cli import cli; cli(sys.argv[1:], standalone_mode=False);"
        "found = {'fastapi', 'uvicorn', 'starlette', 'jinja2', 'torch'} & set(sys.modules); assert not found, found"
    )
    for arguments in (["--help"], ["jobs"], ["token", "ls"]):
        environment = {**os.environ, "NIGHTSHIFT_DATA_DIR": str(tmp_path)}
        command = [sys.executable, "-c", script, *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        assert done.returncode == 0, done.stderr
