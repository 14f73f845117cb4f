"""What is only a server's: its token, files that are sent to it, answers that are lost on the way."""

from __future__ import annotations

import contextlib
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from jobstore.errors import InvalidJob
from jobstore.schema import WorkerRow
from producer import ItemRef, Producer
from producer.errors import (
    DestinationDenied,
    MachineUnknown,
    ServerUnavailable,
    SettingInvalid,
    SourceDenied,
    TokenRefused,
    UploadRefused,
)
from producer.gateway import Basis
from producer.remote import Remote
from tests.fixtures.jobs import ALICE


@pytest.fixture
def pictures(tmp_path):
    """Four files of which two have the same bytes."""
    folder = tmp_path / "here"
    folder.mkdir()
    for name, content in (("a", b"one"), ("b", b"two"), ("c", b"one"), ("d", b"four")):
        (folder / f"{name}.jpg").write_bytes(b"\xff\xd8\xff" + content)
    return folder


class LossyProxy(ThreadingHTTPServer):
    """Hands requests on, and cuts the connection instead of handing the answer back, as often as it is told."""

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Lossy)
        self.upstream, self.losses, self.paths = upstream, 0, []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Lossy(BaseHTTPRequestHandler):
    server: LossyProxy

    def _hand_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        given = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        answer = httpx.request(self.command, self.server.upstream + self.path, headers=given, content=body)
        self.server.paths.append(self.path)
        if self.server.losses:
            self.server.losses -= 1
            return  # without a word, after the server has done its work
        self.send_response(answer.status_code)
        self.send_header("Content-Type", answer.headers["content-type"])
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    do_GET = do_POST = _hand_on  # noqa: N815 - as the base class calls them

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def proxy(server_url):
    with LossyProxy(server_url) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield proxy
        proxy.shutdown()
        thread.join()


def test_a_submit_whose_answer_is_lost_makes_one_job(proxy, token, pictures):
    with Producer(proxy.url, token=token) as producer:
        producer.jobs()
        proxy.losses = 2  # of the upload, and of its second try or the submit
        job = producer.submit("digits", pictures, hardware="cpu")
        again = producer.submit("digits", pictures, hardware="cpu", idempotency_key="night")
        proxy.losses = 1
        same = producer.submit("digits", pictures, hardware="cpu", idempotency_key="night")

        assert {each.id for each in producer.jobs()} == {job.id, again.id}
        assert same.id == again.id
        assert proxy.paths.count("/v1/jobs") >= 4


def test_an_act_whose_answer_is_lost_is_not_sent_twice(proxy, token, pictures):
    with Producer(proxy.url, token=token) as producer:
        job = producer.submit("digits", pictures, hardware="cpu")
        proxy.losses = 1

        with pytest.raises(ServerUnavailable):
            job.pause()

        assert job.status().state == "paused"
        assert sum(path.endswith(":pause") for path in proxy.paths) == 1


def test_files_are_sent_once_by_content_with_a_notice_and_keep_their_names(proxy, token, pictures, caplog):
    with Producer(proxy.url, token=token) as producer, caplog.at_level(logging.WARNING):
        producer.submit("digits", pictures, hardware="cpu")
        producer.submit("digits", pictures, hardware="cpu")
        job = producer.submit("digits", [ItemRef(str(pictures / "a.jpg"), {"camera": "A"})], hardware="cpu")
        job.cancel()

        (row,) = job.results()
        assert (row.source, row.metadata) == (str(pictures / "a.jpg"), {"camera": "A"})
        assert row.row.uri == row.source
    assert "sending 4 files, 0.0 MB, to http://127.0.0.1" in caplog.text
    assert proxy.paths.count("/v1/uploads") == 1


def test_what_a_server_may_have_removed_by_now_is_sent_again(proxy, token, pictures, monkeypatch):
    monkeypatch.setattr("producer.sending._KNOWN_S", 0.0)
    with Producer(proxy.url, token=token) as producer:
        for _ in range(2):
            producer.submit("digits", pictures, hardware="cpu")
    assert proxy.paths.count("/v1/uploads") == 2


def test_files_may_be_refused_or_left_where_they_are(server_url, token, pictures):
    with (
        Producer(server_url, token=token, files="refuse") as careful,
        pytest.raises(UploadRefused, match=r"a\.jpg lies on this machine, as do 3 others"),
    ):
        careful.submit("digits", pictures, hardware="cpu")
    with (
        Producer(server_url, token=token, files="shared") as shared,
        pytest.raises(SourceDenied, match="outside"),
    ):
        shared.submit("digits", pictures, hardware="cpu")


@pytest.mark.parametrize("token", [None, "nobody"], ids=["none", "unknown"])
def test_a_server_without_a_good_token_says_so_and_the_token_is_told_to_nobody(server_url, token):
    with Producer(server_url, token=token) as producer, pytest.raises(TokenRefused, match="token") as refusal:
        producer.jobs()

    assert "nobody" not in str(refusal.value)


def test_a_server_that_does_not_answer_is_unavailable():
    gateway = Remote("http://127.0.0.1:1", None, patience_s=0.05)
    with contextlib.closing(gateway), pytest.raises(ServerUnavailable, match=r"http://127\.0\.0\.1:1 does not answer"):
        gateway.jobs()


@pytest.mark.parametrize("url", ["ftp://host", "host:8000", "http://"])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(SettingInvalid, match="no server's address"):
        Producer(url)


def test_a_server_keeps_an_export_without_destination_and_refuses_its_own_folders(server_url, token, pictures):
    with Producer(server_url, token=token) as producer:
        job = producer.submit("digits", pictures, hardware="cpu", output={"formats": ["jsonl"]})
        with pytest.raises(DestinationDenied, match="so that the server keeps them"):
            producer.submit("digits", pictures, hardware="cpu", output={"dest": str(pictures)})

        assert [each.id for each in producer.jobs()] == [job.id]


def test_a_server_explains_its_models_for_the_machines_of_its_workers(server_url, token, direct):
    direct._store.fleet.heartbeat(WorkerRow(ALICE, "host", 7, "cpu", "cpu"), {"schema_version": 1})
    with Producer(server_url, token=token) as producer:
        explanation = producer.explain("digits", "cpu")
        with pytest.raises(MachineUnknown, match="no worker of the class gpu-sm90"):
            producer.explain("digits", "gpu-sm90")
        assumed = producer.explain("digits", "gpu-sm90", assume=True)

    assert (explanation.task, explanation.chosen) == ("object-detection", None)
    assert explanation.candidates[0]["verdict"] == "rejected"
    assert (explanation.machine.basis, explanation.machine.worker_id) == (Basis.LIVE, ALICE)
    assert explanation.machine.report == {"schema_version": 1}
    assert (assumed.machine.basis, assumed.machine.hardware) == (Basis.ASSUMED, "gpu-sm90")


def test_the_task_is_checked_before_a_file_is_sent(proxy, token, pictures):
    with Producer(proxy.url, token=token) as producer:
        with pytest.raises(InvalidJob, match="does object-detection, and the job asks for classification"):
            producer.submit("digits", pictures, task="classification")
        assert producer.submit("digits", pictures, task="detection").status().total == 4
    assert proxy.paths.index("/v1/uploads") > proxy.paths.index("/v1/models/digits/explain?hardware=auto")
