"""One file over HTTP: whole and verified, or an error that says why."""

import hashlib
import json
import logging
from datetime import UTC, datetime

import pytest

from inference_engine.downloads import Download, download
from inference_engine.errors import DownloadRefused, FileDamaged, ModelNotFound, ProviderUnavailable
from inference_engine.remote_packages import FileHash, RemoteFile
from inference_engine.transport import Limits, check_url, make_client, retry_after, shown

DATA = bytes(range(256)) * 4096  # 1 MiB
LIMITS = Limits(wait_s=0.01, max_wait_s=0.05, attempts=4, connect_s=5, read_s=10)


def md5(data=DATA):
    return FileHash("md5", hashlib.md5(data, usedforsecurity=False).hexdigest())


@pytest.fixture
def get(server, tmp_path):
    def run(path="/f", *, wanted=None, size=None, limits=LIMITS, folder=tmp_path / "to"):
        with make_client(limits) as client:
            file = RemoteFile("weights.bin", hash=wanted, size=size)
            return download(client, Download(server.url + path), file, folder, limits), folder / "weights.bin"

    return run


def test_a_file_is_verified_put_into_place_and_leaves_nothing_else(server, get):
    server.add_file("/f", DATA)

    sha256, path = get(wanted=md5())

    assert path.read_bytes() == DATA
    assert sha256 == hashlib.sha256(DATA).hexdigest()
    assert [found.name for found in path.parent.iterdir()] == ["weights.bin"]


@pytest.mark.parametrize("algorithm", ["sha256", "git-sha1"])
def test_other_hashes_are_verified_as_well(server, get, algorithm):
    server.add_file("/f", DATA)
    header = b"blob %d\0" % len(DATA) if algorithm == "git-sha1" else b""
    name = "sha1" if algorithm == "git-sha1" else algorithm

    get(wanted=FileHash(algorithm, hashlib.new(name, header + DATA).hexdigest()), size=len(DATA))
    with pytest.raises(FileDamaged):
        get(wanted=FileHash(algorithm, hashlib.new(name, b"other").hexdigest()), size=len(DATA))


def test_a_host_that_refuses_head_and_ranges_is_fetched_with_one_get(server, get):
    server.add_file("/f", DATA, has_ranges=False)
    server.head_status = 403

    get(wanted=md5())

    assert [request.method for request in server.asked("/f")] == ["GET"]


def test_peer_defect_8_a_file_of_40_mb_without_a_hash_is_fetched(server, get):
    data = bytes(40 * 2**20)
    server.add_file("/f", data)

    _, path = get()

    assert path.stat().st_size == len(data)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_peer_defect_9_every_passing_status_is_tried_again_500_included(server, get, status):
    server.add_file("/f", DATA)
    server.faults["/f"] = [(status, {}), (status, {"Retry-After": "0"})]

    _, path = get(wanted=md5())

    assert path.read_bytes() == DATA


def test_a_host_that_stays_down_is_unavailable_after_all_tries(server, get):
    server.faults["/f"] = [(503, {})] * 9

    with pytest.raises(ProviderUnavailable, match=r"/f answers 503"):
        get()

    assert len(server.asked("/f")) == LIMITS.attempts


def test_what_is_not_there_is_asked_for_once(server, get):
    with pytest.raises(ModelNotFound):
        get()

    assert len(server.asked("/f")) == 1


def test_a_cut_connection_goes_on_where_it_broke(server, get):
    server.add_file("/f", DATA, cut_after=[300_000, 300_000])

    _, path = get(wanted=md5())

    ranges = [request.headers.get("range") for request in server.asked("/f")]
    assert path.read_bytes() == DATA
    assert ranges[0] is None
    assert all(found.startswith("bytes=") and found != "bytes=0-" for found in ranges[1:])


def leave_part(folder, data, wanted, etag='"1"', size=None):
    folder.mkdir(exist_ok=True)
    (folder / "weights.bin.part").write_bytes(data)
    note = {"wanted": f"{wanted}/{size}", "etag": etag}
    (folder / "weights.bin.part.json").write_text(json.dumps(note), encoding="utf-8")


def test_peer_defect_26_a_later_process_asks_only_for_the_rest(server, get, tmp_path):
    server.add_file("/f", DATA)
    leave_part(tmp_path / "to", DATA[:700_000], md5())

    _, path = get(wanted=md5())

    (request,) = server.asked("/f")
    assert (request.headers["range"], request.headers["if-range"]) == ("bytes=700000-", '"1"')
    assert path.read_bytes() == DATA


def test_a_file_that_changed_meanwhile_is_fetched_from_its_first_byte(server, get, tmp_path):
    server.add_file("/f", DATA, etag='"2"')
    leave_part(tmp_path / "to", b"x" * 700_000, None)

    _, path = get()

    assert path.read_bytes() == DATA


def test_a_part_of_another_file_is_not_taken_up(server, get, tmp_path):
    server.add_file("/f", DATA)
    leave_part(tmp_path / "to", b"x" * 700_000, md5(b"another"))

    get(wanted=md5())

    assert "range" not in server.asked("/f")[0].headers


@pytest.mark.parametrize("etag", ["", 'W/"1"'], ids=["none", "weak"])
def test_a_part_that_nothing_vouches_for_is_not_taken_up(server, get, tmp_path, etag):
    server.add_file("/f", DATA, etag=etag)
    leave_part(tmp_path / "to", DATA[:9], None, etag)

    get()

    assert "range" not in server.asked("/f")[0].headers


def test_a_damaged_part_is_found_out_and_the_next_try_is_right(server, get, tmp_path):
    server.add_file("/f", DATA)
    leave_part(tmp_path / "to", b"x" * 700_000, md5())

    with pytest.raises(FileDamaged, match=r"weights\.bin"):
        get(wanted=md5())

    assert get(wanted=md5())[1].read_bytes() == DATA


def test_a_part_that_is_complete_asks_for_nothing(server, get, tmp_path):
    leave_part(tmp_path / "to", DATA, md5())

    _, path = get(wanted=md5())

    assert not server.requests
    assert path.read_bytes() == DATA


def test_a_part_longer_than_the_file_starts_anew(server, get, tmp_path):
    server.add_file("/f", DATA)
    leave_part(tmp_path / "to", DATA + b"more", md5())

    _, path = get(wanted=md5())

    assert path.read_bytes() == DATA


def test_a_wrong_file_leaves_nothing_in_place(server, get, tmp_path):
    server.add_file("/f", b"other")

    with pytest.raises(FileDamaged, match="the provider says"):
        get(wanted=md5())

    assert list((tmp_path / "to").iterdir()) == []


def test_more_bytes_than_the_limit_are_refused(server, get):
    server.add_file("/f", DATA)

    with pytest.raises(DownloadRefused, match="limit"):
        get(limits=Limits(max_file_bytes=1000, attempts=1))


def test_a_file_of_another_size_than_declared_is_damaged(server, get):
    server.add_file("/f", DATA)

    with pytest.raises(FileDamaged, match="the provider says 10"):
        get(size=10)


def test_a_host_that_is_too_slow_is_left_at_the_deadline(server, get):
    file = server.add_file("/f", DATA, held_after=100_000)

    with pytest.raises(ProviderUnavailable):
        get(limits=Limits(read_s=0.1, deadline_s=0.3, wait_s=0.01, attempts=50))

    file.release.set()


def test_bytes_of_a_provider_itself_are_verified_too(tmp_path):
    file = RemoteFile("weights.bin", hash=md5(b"abcd"))

    with make_client(LIMITS) as client:
        download(client, [b"ab", b"cd"], file, tmp_path, LIMITS)
        assert (tmp_path / "weights.bin").read_bytes() == b"abcd"
        (tmp_path / "weights.bin").unlink()
        with pytest.raises(FileDamaged):
            download(client, [b"ab"], file, tmp_path, LIMITS)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://models.example/x", True),
        ("http://127.0.0.1:8000/x", True),
        ("http://models.example/x", False),
        ("file:///etc/hostname", False),
        ("https:///x", False),
        ("ftp://models.example/x", False),
    ],
)
def test_only_encrypted_addresses_and_this_machine_are_asked(url, allowed):
    if allowed:
        check_url(url, Limits())
        return
    with pytest.raises(DownloadRefused, match="https"):
        check_url(url, Limits())


def test_a_redirect_to_an_address_that_is_not_allowed_is_refused(server, get):
    server.faults["/f"] = [(302, {"Location": "http://models.example/f"})]

    with pytest.raises(DownloadRefused, match=r"models\.example"):
        get()


def test_an_address_is_shown_without_what_it_is_signed_with():
    assert shown("https://user:pass@host:81/a/b?X-Amz-Signature=secret#x") == "https://host:81/a/b"


def test_nothing_that_signs_an_address_is_logged_and_nothing_is_printed(server, get, caplog, capsys):
    server.add_file("/f", DATA)
    server.faults["/f"] = [(503, {"Retry-After": "0"})]

    with caplog.at_level(logging.DEBUG, logger="httpx"), caplog.at_level(logging.DEBUG, logger="inference_engine"):
        get("/f?X-Amz-Signature=secret")

    assert "/f answers 503" in caplog.text
    assert "secret" not in caplog.text
    assert capsys.readouterr() == ("", "")


def test_a_wait_past_the_deadline_is_not_begun(server, get):
    server.faults["/f"] = [(503, {"Retry-After": "20"})]

    with pytest.raises(ProviderUnavailable):
        get(limits=Limits(deadline_s=5))

    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0),
        ("Sat, 01 Jan 2000 00:00:09 GMT", 9.0),
        ("Sat, 01 Jan 1999 00:00:00 GMT", 0.0),
        ("soon", None),
        (None, None),
    ],
)
def test_the_wish_to_wait_is_read_as_seconds_or_date(header, seconds):
    assert retry_after(header, datetime(2000, 1, 1, tzinfo=UTC)) == seconds


@pytest.mark.parametrize("name", ["../x", "/x", "a/../b", "", ".hidden", "a\\b", "a b", "x" * 300, "a//b"])
def test_a_file_name_cannot_leave_the_package(name):
    with pytest.raises(Exception, match="file name"):
        RemoteFile(name)
