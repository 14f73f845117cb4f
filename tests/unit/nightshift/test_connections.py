"""Bytes on a connection to the server as it is run: what is slow, cut, doubled or smuggled."""

from __future__ import annotations

import json
import socket

import pytest

from nightshift.heads import BoundedHeads
from nightshift.serving import bind, running
from tests.fixtures.server import bearer, services_on


@pytest.fixture
def connect(sqlite_store, tmp_path, monkeypatch):
    """Opens connections to a server whose patience is short."""
    monkeypatch.setattr(BoundedHeads, "head_s", 0.5)
    address = bind("127.0.0.1", 0)
    place = address.listener.getsockname()
    with running(services_on(sqlite_store, tmp_path, body_timeout_s=0.3), address):
        yield lambda: socket.create_connection(place, timeout=30)


@pytest.fixture
def token(sqlite_store):
    return bearer(sqlite_store)["Authorization"]


def answers(connection: socket.socket) -> bytes:
    """Everything until the other side ends the connection."""
    found = b""
    try:
        while chunk := connection.recv(65536):
            found += chunk
    except ConnectionResetError:
        pass
    return found


def request(token: str, *more: str, path: str = "POST /v1/jobs") -> bytes:
    lines = [f"{path} HTTP/1.1", "Host: server", f"Authorization: {token}", "Content-Type: application/json", *more]
    return "\r\n".join([*lines, "", ""]).encode()


def test_a_body_that_stops_coming_is_answered_408(connect, token):
    with connect() as connection:
        connection.sendall(request(token, "Content-Length: 100", "Connection: close") + b'{"model":')
        head, _, body = answers(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    problem = json.loads(body)
    assert (problem["code"], problem["retryable"]) == ("body_too_slow", True)


def test_a_head_that_never_ends_is_not_waited_for(connect, token):
    whole = request(token, path="GET /v1/stats")
    with connect() as silent, connect() as slow:
        slow.sendall(whole[:40])
        assert (answers(silent), answers(slow)) == (b"", b"")


def test_a_connection_that_is_kept_answers_again_and_is_not_waited_for_in_between(connect, token):
    with connect() as connection:
        for _ in range(2):
            connection.sendall(request(token, path="GET /v1/stats"))
            answer = b""
            while not answer.endswith(b"}"):  # head and body may come one by one
                answer += connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"GET /v1")
        assert answers(connection) == b""


SMUGGLED = "GET /v1/stats HTTP/1.1\r\nHost: server\r\n\r\n"


@pytest.mark.parametrize(
    "framing",
    [
        ["Content-Length: 4", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 4"],
        ["Content-Length: 0", "Content-Length: 44"],
        ["Content-Length: 0, 44"],
        ["Content-Length: -1"],
        ["Content-Length: +4"],
        ["Content-Length: 0x4"],
        ["Content-Length: 4 4"],
        ["Content-Length : 4"],
        ["Transfer-Encoding: xchunked"],
        ["Transfer-Encoding: chunked, identity"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        ["X: a\r\n Content-Length: 4", "Content-Length: 3", "Content-Length: 5"],
        ["Host: other"],
        ["X-Bad\0: a"],
    ],
    ids=lambda lines: " + ".join(lines).replace("\r\n", "|").replace("\0", "NUL"),
)
def test_a_body_whose_end_is_in_doubt_ends_the_connection_before_a_second_request_is_seen(connect, token, framing):
    with connect() as connection:
        connection.sendall(request(token, *framing) + b"0\r\n\r\n" + SMUGGLED.encode())
        found = answers(connection)
    assert found.count(b"HTTP/1.1 ") == 1, found
    assert found.split(b" ", 2)[1] in (b"400", b"501"), found


def test_chunks_that_are_none_end_the_connection(connect, token):
    with connect() as connection:
        connection.sendall(request(token, "Transfer-Encoding: chunked") + b"zz\r\n{}\r\n0\r\n\r\n" + SMUGGLED.encode())
        found = answers(connection)
    assert found.count(b"HTTP/1.1 ") == 1
    assert found.split(b" ", 2)[1] == b"400"


@pytest.mark.parametrize("size", [20_000, 200_000], ids=["beyond our limit", "beyond the protocol's"])
def test_headers_without_end_are_refused(connect, token, size):
    with connect() as connection:
        try:
            connection.sendall(request(token, f"X-Many: {'x' * size}", "Connection: close", path="GET /v1/stats"))
        except (BrokenPipeError, ConnectionResetError):
            return  # refused while we still sent
        found = answers(connection)
    assert not found or found.split(b" ", 2)[1] in (b"431", b"400")


def test_the_server_does_not_say_what_it_is(connect, token):
    with connect() as connection:
        connection.sendall(request(token, "Connection: close", path="GET /v1/stats"))
        head = answers(connection).partition(b"\r\n\r\n")[0].lower()
    assert b"\r\nserver:" not in head
    assert b"uvicorn" not in head
