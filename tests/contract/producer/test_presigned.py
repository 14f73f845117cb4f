"""Large files that go to the bucket of a server's uploads directly, and through the server where that is no way."""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from producer import Producer
from producer.answers import Presigned
from producer.errors import PresignUnavailable, ServerRefused, SourceUnsupported
from tests.contract.producer.test_servers import LossyProxy
from tests.fixtures.gateways import serving
from tests.fixtures.server import services_on

SIZE = 3_000_000


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A large video and a small picture."""
    monkeypatch.setattr("producer.sending.LARGE_BYTES", 1_000_000)
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "large.mp4").write_bytes(bytes(range(256)) * (SIZE // 256))
    (folder / "small.jpg").write_bytes(b"\xff\xd8\xff")
    return folder


@pytest.fixture
def asked(direct, tmp_path, bucket, token):
    """A producer at a server whose uploads go to a bucket, and the paths that it asks for."""
    services = services_on(direct._store, tmp_path, uploads="s3://labels/in", requests_per_s=1e6, burst=10**6)
    with serving(services) as url, LossyProxy(url) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        with Producer(proxy.url, token=token) as producer:
            yield producer, proxy.paths
        proxy.shutdown()
        thread.join()


def keys_of(bucket):
    return {found.key: found.size for found in bucket.objects.all()}


def is_signed(key):
    return re.fullmatch(r"in/default/[0-9a-f]{32}\.mp4", key) is not None


def test_a_large_file_goes_to_the_bucket_and_a_small_one_through_the_server(asked, bucket, files):
    producer, paths = asked

    first, again = (producer.submit("digits", files, hardware="cpu", video={"fps": 1}) for _ in range(2))

    assert paths.count("/v1/uploads:presign") == 1
    sizes = keys_of(bucket)
    assert sorted(sizes.values()) == [3, (files / "large.mp4").stat().st_size]
    (large,) = filter(is_signed, sizes)
    body = bucket.Object(large).get()["Body"].read()
    assert hashlib.sha256(body).digest() == hashlib.sha256((files / "large.mp4").read_bytes()).digest()
    for job in (first, again):
        job.cancel()
        assert {row.source for row in job.results()} == {str(path) for path in files.iterdir()}


def test_a_bucket_that_asks_for_patience_is_asked_again(asked, bucket, files, s3_server):
    s3_server.troubled, s3_server.most = "labels/in", 2

    asked[0].submit("digits", files / "large.mp4", hardware="cpu")

    assert [is_signed(key) for key in keys_of(bucket)] == [True]


class Bucket(ThreadingHTTPServer):
    """Takes what is sent, with statuses as told, and keeps headers and bodies."""

    def __init__(self, *statuses: int) -> None:
        super().__init__(("127.0.0.1", 0), _Taking)
        self.statuses, self.got = list(statuses), []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/labels/in/x.mp4"


class _Taking(BaseHTTPRequestHandler):
    server: Bucket

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append(({name.lower(): value for name, value in self.headers.items()}, len(body)))
        self.send_response(self.server.statuses.pop(0))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def signing(monkeypatch):
    """Give a function that has the server name this address for every file."""

    def sign(url):
        def presign(_, files, __):
            headers = {"Content-Length": str(files[0].size_bytes), "Content-Type": files[0].content_type}
            return [Presigned(files[0].name, "s3://labels/in/default/x.mp4", "PUT", url, headers, 4e9)]

        monkeypatch.setattr("producer.server.routes.uploads.presign", presign)

    return sign


@pytest.fixture
def taking(signing):
    """Give a function that starts a bucket of ours."""
    running = []

    def take(*statuses):
        found = Bucket(*statuses)
        threading.Thread(target=found.serve_forever, daemon=True).start()
        running.append(found)
        signing(found.url)
        return found

    yield take
    for each in running:
        each.shutdown()
        each.server_close()


def test_the_bucket_is_told_length_and_type_and_never_the_token(asked, files, taking):
    bucket = taking(500, 200)

    asked[0].submit("digits", files / "large.mp4", hardware="cpu")

    headers, size = bucket.got[-1]
    assert (len(bucket.got), size) == (2, (files / "large.mp4").stat().st_size)
    assert (headers["content-length"], headers["content-type"]) == (str(size), "video/mp4")
    assert "authorization" not in headers
    assert "transfer-encoding" not in headers


@pytest.fixture(params=["refused", "away"])
def unreached(request, taking, signing):
    """A bucket that does not answer this machine, or takes nothing of it."""
    taking(403) if request.param == "refused" else signing("http://127.0.0.1:1/labels/x.mp4")


@pytest.mark.usefixtures("unreached")
def test_a_bucket_that_this_machine_does_not_reach_is_left_once_for_the_server(asked, bucket, files, caplog):
    (files / "other.mp4").write_bytes(b"x" * SIZE)
    producer, paths = asked

    with caplog.at_level(logging.WARNING):
        producer.submit("digits", files, hardware="cpu")

    assert paths.count("/v1/uploads:presign") == 1
    assert len(keys_of(bucket)) == 3
    assert not any(map(is_signed, keys_of(bucket)))
    assert "takes no files from here" in caplog.text
    assert "/labels/" not in caplog.text


def test_a_server_without_a_bucket_is_asked_once(server_url, token, files, monkeypatch):
    (files / "other.mp4").write_bytes(b"x" * SIZE)
    asked = []
    with Producer(server_url, token=token) as producer:
        caller = producer.gateway._caller
        ask = caller.ask
        monkeypatch.setattr(caller, "ask", lambda *told, **more: asked.append(told[1]) or ask(*told, **more))
        job = producer.submit("digits", files, hardware="cpu")
        with pytest.raises(PresignUnavailable, match="go to a folder"):
            ask("POST", "/uploads:presign", body=b'{"files": [{"name": "a.mp4", "size_bytes": 1}]}')

        assert job.status().total == 3

    assert asked.count("/uploads:presign") == 1


def test_a_file_that_changes_while_it_is_sent_is_no_item(asked, files, taking, monkeypatch):
    taking(200)
    monkeypatch.setattr("producer.sending._key", lambda _: f"{'0' * 64}.mp4")

    with pytest.raises(ServerRefused, match="changed while it was sent"):
        asked[0].submit("digits", files / "large.mp4", hardware="cpu")

    assert asked[0].jobs() == []


def test_what_no_upload_can_be_is_refused_by_the_server_before_it_is_sent(asked, bucket, files):
    (files / "large.mp4").rename(files / "large.txt2")

    with pytest.raises(SourceUnsupported):
        asked[0].gateway._sender._past.send(str(files / "large.txt2"), "0")

    assert keys_of(bucket) == {}
