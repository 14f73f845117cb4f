"""F35: hosts that answer badly. Each is an error of ours, in time, and leaves nothing in place."""

import itertools
import socket
import struct
import threading
from contextlib import suppress

import pytest

from inference_engine.downloads import Download, download
from inference_engine.errors import AnswerInvalid, DownloadRefused, ProviderUnavailable
from inference_engine.remote_packages import RemoteFile
from inference_engine.transport import MAX_ANSWER_BYTES, Limits, get_json, make_client

LIMITS = Limits(
    deadline_s=0.4, wait_s=0.01, max_wait_s=0.02, attempts=2, connect_s=5, read_s=0.2, max_file_bytes=1 << 20
)
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


class Origin:
    """Answers every connection with the same pieces, one after the other, and closes; `asked` counts them."""

    def __init__(self, pieces, *, pause_s=0.0, resets=False):
        self._pieces, self._pause_s, self._resets = pieces, pause_s, resets
        self.asked = 0
        self._over = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(0.1)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/f"
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()
        self._listening.close()

    def _serve(self):
        while not self._over.is_set():
            with suppress(TimeoutError):
                connection, _ = self._listening.accept()
                with connection, suppress(OSError):
                    self._answer(connection)

    def _answer(self, connection):
        self.asked += 1
        connection.recv(1 << 16)
        for piece in self._pieces(self):
            connection.sendall(piece)
            if self._over.wait(self._pause_s):
                return
        if self._resets:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def of(*pieces):
    return lambda _: pieces


def endless(head, piece):
    return lambda _: itertools.chain([head], itertools.repeat(piece))


def to_itself(origin):
    return [
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\nLocation: %s\r\n\r\n" % origin.url.encode()
    ]


CHUNK = b"4000\r\n" + bytes(0x4000) + b"\r\n"
BAD = {
    "redirects to itself": (Origin(to_itself), AnswerInvalid),
    "chunks without end": (Origin(endless(CHUNKED, CHUNK)), DownloadRefused),
    "a byte now and then": (Origin(endless(CHUNKED, b"1\r\nx\r\n"), pause_s=0.02), ProviderUnavailable),
    "silence after the head": (
        Origin(of(OK + b"Content-Length: 9\r\n\r\n", b""), pause_s=0.5),
        ProviderUnavailable,
    ),
    "silence": (Origin(of(b""), pause_s=0.5), ProviderUnavailable),
    "a connection that is reset": (
        Origin(of(OK + b"Content-Length: 9\r\n\r\nabc"), resets=True),
        ProviderUnavailable,
    ),
    "fewer bytes than it says": (Origin(of(OK + b"Content-Length: 9\r\n\r\nabc")), ProviderUnavailable),
    "a length below zero": (Origin(of(OK + b"Content-Length: -1\r\n\r\nabc")), ProviderUnavailable),
    "two lengths": (Origin(of(OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc")), ProviderUnavailable),
    "a length over the limit": (Origin(of(OK + b"Content-Length: 99999999999\r\n\r\n")), DownloadRefused),
    "no HTTP": (Origin(of(b"\x00\x01garbage\r\n\r\n")), ProviderUnavailable),
    "a megabyte of headers": (Origin(of(OK + b"X: " + b"y" * (1 << 20))), ProviderUnavailable),
    "a part that nobody asked for": (
        Origin(of(b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-7/8\r\nContent-Length: 3\r\n\r\nabc")),
        ProviderUnavailable,
    ),
}


@pytest.mark.parametrize(("origin", "error"), BAD.values(), ids=BAD)
def test_a_bad_origin_is_an_error_of_its_kind_in_time_and_leaves_no_file(origin, error, tmp_path):
    with origin, make_client(LIMITS) as client, pytest.raises(error) as raised:
        download(client, Download(origin.url), RemoteFile("weights.bin"), tmp_path, LIMITS)

    assert type(raised.value) is error
    assert origin.asked >= 1
    assert not (tmp_path / "weights.bin").exists()


BAD_ANSWERS = {
    "endless": (Origin(endless(CHUNKED, b"8000\r\n" + b" " * 0x8000 + b"\r\n")), AnswerInvalid),
    "a byte now and then": (Origin(endless(CHUNKED, b"1\r\n \r\n"), pause_s=0.02), ProviderUnavailable),
    "redirects to itself": (Origin(to_itself), AnswerInvalid),
    "no gzip": (
        Origin(of(OK + b"Content-Encoding: gzip\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc")),
        AnswerInvalid,
    ),
    "cut off": (Origin(of(OK + b'Content-Length: 9\r\n\r\n{"a"')), ProviderUnavailable),
}


@pytest.mark.parametrize(("origin", "error"), BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_metadata_that_comes_badly_is_an_error_of_its_kind_and_costs_bounded_memory(origin, error):
    limits = Limits(deadline_s=5.0, attempts=1, read_s=0.2)
    if origin._pause_s:
        limits = LIMITS

    with origin, make_client(limits) as client, pytest.raises(error) as raised:
        get_json(client, origin.url, limits)

    assert type(raised.value) is error


def test_an_answer_may_have_the_metadata_of_ten_thousand_packages():
    assert MAX_ANSWER_BYTES > 10_000 * 2_000
