"""Buckets over real HTTP: what is slow, refused, cut short or replaced while it is read."""

import json
import os
from functools import partial

import pytest

from fetching.cloud import CloudStore, open_bucket
from fetching.errors import (
    FetchAnswerInvalid,
    FetchDenied,
    FetchFailed,
    FetchForbidden,
    FetchNotFound,
    FetchTimeout,
    FetchTooLarge,
)
from fetching.fetcher import Fetcher
from fetching.policy import FetchPolicy
from tests.fixtures.flawed_s3 import put_objects

BODY = bytes(range(256)) * 400
KEY = "2026/a b+ä.jpg"
URI = f"s3://photos/{KEY}"


@pytest.fixture
def bucket(flawed_s3):
    put_objects("photos", {KEY: BODY})
    return flawed_s3


def fetch(uri=URI, **limits):
    fetcher = Fetcher(FetchPolicy(**{"deadline_s": 90.0} | limits))
    try:
        return fetcher.read(uri)
    finally:
        fetcher.close()


def test_an_object_gives_its_bytes(bucket):
    assert fetch() == BODY


@pytest.mark.parametrize("status", [500, 503])
def test_an_answer_that_passes_is_asked_for_again(bucket, status):
    bucket.flaws[KEY] = [status, status]

    assert fetch() == BODY


def test_an_object_that_breaks_off_is_gone_on_with_where_it_broke(bucket):
    bucket.flaws[KEY] = ["break"]

    assert fetch() == BODY
    assert bucket.ranges == [f"bytes={len(BODY) // 2}-"]


def test_an_object_that_was_replaced_in_the_middle_is_read_anew_and_never_mixed(bucket):
    bucket.flaws[KEY] = ["replace"]

    assert fetch(attempts=4) == b"another one"


def test_a_storage_that_heeds_no_range_is_read_from_the_beginning(bucket):
    bucket.flaws[KEY] = ["break", "whole"]

    assert fetch() == BODY


def test_an_object_that_always_breaks_off_is_an_error(bucket):
    bucket.flaws[KEY] = ["break"] * 20

    with pytest.raises(FetchFailed):
        fetch(attempts=2)


def test_an_object_that_drips_ends_at_the_deadline(bucket):
    bucket.flaws[KEY] = ["drip"] * 5

    with pytest.raises(FetchTimeout):
        fetch(deadline_s=1.0)


@pytest.mark.parametrize(
    ("uri", "kind"),
    [
        ("s3://photos/gone.jpg", FetchNotFound),
        ("s3://nobody/a.jpg", FetchNotFound),
        ("s3://photos/../a.jpg", FetchDenied),
        ("s3://UPPER/a.jpg", FetchNotFound),
    ],
)
def test_what_is_not_there_is_an_error_of_its_class(bucket, uri, kind):
    with pytest.raises(kind):
        fetch(uri)


@pytest.mark.parametrize(("status", "kind"), [(403, FetchForbidden), (400, FetchAnswerInvalid)])
def test_what_is_refused_is_asked_for_once(bucket, status, kind):
    bucket.flaws[KEY] = [status]

    with pytest.raises(kind):
        fetch()
    assert len([path for path in bucket.asked if path.endswith(".jpg")]) == 1


def test_an_object_beyond_the_limit_is_not_read(bucket):
    with pytest.raises(FetchTooLarge, match=f"{len(BODY)} bytes; at most 1000"):
        fetch(max_bytes=1000)


def test_without_credentials_it_is_said_what_to_do(bucket, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")

    with pytest.raises(FetchForbidden, match="AWS_ACCESS_KEY_ID"):
        fetch()


def test_a_storage_that_is_away_is_an_error_that_may_pass(monkeypatch, bucket):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")

    with pytest.raises(FetchFailed):
        fetch(attempts=1)


def test_a_download_is_a_file_that_no_folder_lists_and_beats_while_it_comes(bucket, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    beats = []

    with Fetcher(FetchPolicy()).download(URI, lambda: beats.append(1)) as file:
        assert file.read() == BODY
        assert list(tmp_path.iterdir()) == []
    assert beats


def test_a_listing_comes_page_by_page(bucket):
    put_objects("photos", {f"night/{n:04d}.jpg": b"" for n in range(2500)})
    entries = Fetcher(FetchPolicy()).listing("s3://photos/night/")

    first = next(entries)
    pages_at_first = len(bucket.asked)
    keys = [first.key, *(entry.key for entry in entries)]

    assert keys == [f"night/{n:04d}.jpg" for n in range(2500)]
    assert len(bucket.asked) == pages_at_first + 2


@pytest.fixture
def cloud():
    """A storage of obstore's own kind, in memory."""
    from obstore.store import MemoryStore

    store = MemoryStore()
    for n in range(60):
        store.put(f"night/{n:02d}.jpg", BODY)
    store.put("nightly.jpg", b"x")
    return {"gs": CloudStore("gs", FetchPolicy(max_bytes=len(BODY)), lambda *_: store)}


def test_other_clouds_are_listed_and_read_by_the_same_words(cloud):
    fetcher = Fetcher(FetchPolicy(max_bytes=len(BODY)), stores=cloud)

    keys = sorted(entry.key for entry in fetcher.listing("gs://photos/night/"))
    assert keys == [f"night/{n:02d}.jpg" for n in range(60)]
    assert len(list(fetcher.listing("gs://photos/night"))) == 61
    assert fetcher.read("gs://photos/night/07.jpg") == BODY
    with pytest.raises(FetchNotFound):
        fetcher.read("gs://photos/gone.jpg")
    with pytest.raises(FetchTooLarge):
        fetcher.read("gs://photos/night/07.jpg", max_bytes=5)


@pytest.fixture
def google(flawed_s3, s3_server, tmp_path, monkeypatch):
    """Google's XML interface is S3's as far as lists and objects go: the same server, found by a service account."""
    signed = {"HTTP_AUTHORIZATION": "AWS testing:x"}  # the server asks whether there is one, and no more
    s3_server.served = lambda environ, start_response: flawed_s3({**environ, **signed}, start_response)
    account = {"gcs_base_url": os.environ["AWS_ENDPOINT_URL_S3"], "disable_oauth": True}
    path = tmp_path / "account.json"
    path.write_text(json.dumps(account | {"client_email": "", "private_key": "", "private_key_id": ""}))
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(path))
    policy = FetchPolicy(deadline_s=90.0)
    store = CloudStore("gs", policy, partial(open_bucket, allow_http=True))
    return flawed_s3, Fetcher(policy, stores={"gs": store})


def test_googles_storage_is_listed_and_read_over_http(google):
    flawed, fetcher = google
    put_objects("photos", {f"night/{n:04d}.jpg": BODY for n in range(1200)})
    flawed.flaws |= {
        "": [503, "break"],
        "night/0002.jpg": [503, "break"],
        "night/0003.jpg": ["break"] * 20,
        "night/0004.jpg": [403],
    }

    assert [entry.key for entry in fetcher.listing("gs://photos/night/")] == [f"night/{n:04d}.jpg" for n in range(1200)]
    assert fetcher.read("gs://photos/night/0001.jpg") == BODY
    assert fetcher.read("gs://photos/night/0002.jpg") == BODY
    for name, kind in {"0003": FetchFailed, "0004": FetchForbidden, "gone": FetchNotFound}.items():
        with pytest.raises(kind):
            fetcher.read(f"gs://photos/night/{name}.jpg")


@pytest.mark.parametrize("flaw", [500, "break", "half"])
def test_a_list_of_googles_that_fails_is_an_error_and_not_a_shorter_one(google, flaw):
    flawed, fetcher = google
    put_objects("photos", {f"night/{n:04d}.jpg": b"" for n in range(1200)})
    entries = fetcher.listing("gs://photos/night/")
    next(entries)
    flawed.flaws[""] = [flaw] * 20

    with pytest.raises(FetchFailed):
        list(entries)


@pytest.mark.parametrize("address", ["gs://photos", "az://photos"])
def test_stores_of_both_clouds_are_made_with_the_policys_limits(address, monkeypatch):
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")

    assert type(open_bucket(address, FetchPolicy())).__name__ in {"GCSStore", "AzureStore"}


def test_a_try_that_could_outlast_the_deadline_is_not_begun(bucket):
    """Up to 20 s of connecting and reading do not fit into 15 s: the worker tries the item again, later."""
    bucket.flaws[KEY] = [503] * 20

    with pytest.raises(FetchFailed):
        fetch(deadline_s=15.0)
    assert len([path for path in bucket.asked if path.endswith(".jpg")]) == 1
