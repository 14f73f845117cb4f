"""Uploads that workers can read: in a folder that is theirs without being listed, or in a bucket."""

import hashlib
import re
import time
import uuid
from datetime import datetime
from urllib.parse import parse_qs, urlsplit

import boto3
import httpx
import pytest
from starlette.testclient import TestClient

from fetching.fetcher import Fetcher
from jobstore.tokens import Role
from nightshift.errors import SettingsInvalid
from nightshift.settings import load_settings
from producer.server.app import create_app
from tests.fixtures.server import bearer, services_on
from workers.media import ItemReader, MediaError

PIXELS = b"\x89PNG\r\n\x1a\n" + b"pixels" * 1000


@pytest.fixture
def in_bucket(sqlite_store, tmp_path, bucket):
    """Services of a server whose uploads go to a bucket."""
    return services_on(sqlite_store, tmp_path, uploads="s3://labels/taken/in")


def client_of(services, tenant="default"):
    return TestClient(create_app(services), headers=bearer(services.store, Role.SUBMITTER, tenant))


def send(client):
    (kept,) = client.post("/v1/uploads", files={"files": ("../a.png", PIXELS)}).json()["data"]
    return kept


def reader_of(policy):
    return ItemReader(Fetcher(policy))


def test_workers_with_roots_read_uploads_that_nobody_listed(sqlite_store, tmp_path, monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("NIGHTSHIFT_FETCH__ALLOWED_ROOTS", str(tmp_path / "photos"))
    settings = load_settings()
    services = services_on(sqlite_store, tmp_path, data_dir=settings.server_options("::", needs_token=True).data_dir)

    uri = send(client_of(services))["uri"]

    reader = reader_of(settings.worker_config("redis://").fetch)
    assert reader.read(uri) == PIXELS
    (tmp_path / "data/server/exports").mkdir(parents=True)
    (tmp_path / "data/server/exports/a.png").write_bytes(PIXELS)
    for outside in (tmp_path / "data/server/exports/a.png", tmp_path / "data/server/uploads/../exports/a.png"):
        with pytest.raises(MediaError, match="outside of the folders"):
            reader.read(str(outside))


def test_workers_that_may_read_every_folder_still_may(tmp_path, monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_DATA_DIR", str(tmp_path))

    assert load_settings().worker_config("redis://").fetch.allowed_roots is None


def test_an_upload_goes_to_the_bucket_and_workers_read_it_there(in_bucket, bucket, tmp_path):
    with client_of(in_bucket, "yard") as client:
        kept, again = send(client), send(client)
        body = {"model": "digits", "sources": [kept["uri"]], "hardware": ["cpu"]}
        job = client.post("/v1/jobs", json=body)

    digest = hashlib.sha256(PIXELS).hexdigest()
    assert kept == again
    assert kept["uri"] == f"s3://labels/taken/in/yard/{digest}.png"
    assert (kept["name"], kept["sha256"], kept["size_bytes"]) == ("a.png", digest, len(PIXELS))
    assert [item.key for item in bucket.objects.all()] == [f"taken/in/yard/{digest}.png"]
    assert job.status_code == 201
    assert reader_of(load_settings().fetch_policy).read(kept["uri"]) == PIXELS
    assert not (tmp_path / "data" / "uploads").exists()


def presigned(client, *files):
    """Ask where files are to be sent; without any, one of `PIXELS`."""
    asked = list(files) or [{"name": "../A.PNG", "size_bytes": len(PIXELS), "content_type": "image/png"}]
    return client.post("/v1/uploads:presign", json={"files": asked})


def test_a_client_sends_bytes_to_the_bucket_himself_and_jobs_name_them_as_any_upload(in_bucket, bucket):
    client = client_of(in_bucket, "yard")
    answer = presigned(client)
    assert answer.status_code == 201, answer.text
    (told,) = answer.json()["data"]
    assert list(bucket.objects.all()) == []

    sent = httpx.request(told["method"], told["url"], headers=told["headers"], content=PIXELS)

    assert sent.status_code == 200, sent.text
    assert re.fullmatch(r"s3://labels/taken/in/yard/[0-9a-f]{32}\.png", told["uri"])
    assert told["name"] == "A.PNG"
    (found,) = bucket.objects.all()
    assert (f"s3://labels/{found.key}", found.size) == (told["uri"], len(PIXELS))
    assert found.Object().content_type == "image/png"
    body = {"model": "digits", "sources": [told["uri"]], "items": [{"uri": told["uri"]}], "hardware": ["cpu"]}
    job = client.post("/v1/jobs", json=body)
    assert (job.status_code, job.json()["total"]) == (201, 2)
    assert reader_of(load_settings().fetch_policy).read(told["uri"]) == PIXELS
    assert client_of(in_bucket, "street").post("/v1/jobs", json=body).json()["code"] == "source_denied"


def test_the_signature_holds_length_type_and_place_for_some_minutes(in_bucket, bucket):
    before = time.time()
    (told,) = presigned(client_of(in_bucket, "yard")).json()["data"]

    asked = {name: value for name, (value,) in parse_qs(urlsplit(told["url"]).query).items()}
    assert urlsplit(told["url"]).path == "/labels/" + told["uri"].removeprefix("s3://labels/")
    assert asked["X-Amz-SignedHeaders"] == "content-length;content-type;host"
    assert told["headers"] == {"Content-Length": str(len(PIXELS)), "Content-Type": "image/png"}
    assert asked["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
    assert asked["X-Amz-Expires"] == "900"
    assert before + 900 <= told["expires"] <= time.time() + 900
    assert "do-not-tell" not in told["url"]


def test_another_length_or_type_has_another_signature(in_bucket, bucket, monkeypatch):
    """What the storage computes of another body is not what stands in the address."""
    monkeypatch.setattr("producer.server.uploads.uuid.uuid4", lambda: uuid.UUID(int=7))
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: datetime(2026, 11, 21))  # noqa: DTZ001 (as there)
    wanted = {"name": "a.png", "size_bytes": 9, "content_type": "image/png"}
    files = [wanted, wanted, {**wanted, "size_bytes": 10}, {**wanted, "content_type": "image/jpeg"}]
    urls = [each["url"] for each in presigned(client_of(in_bucket), *files).json()["data"]]

    assert urls[0] == urls[1]
    assert len(set(urls)) == 3


@pytest.mark.parametrize(
    ("file", "status", "code"),
    [
        ({"name": "a.exe", "size_bytes": 1}, 422, "source_unsupported"),
        ({"name": "a.png", "size_bytes": 600}, 413, "body_too_large"),
        ({"name": "a.png", "size_bytes": 0}, 422, "request_invalid"),
        ({"name": "a.png", "size_bytes": 6 * 2**30}, 422, "request_invalid"),
        ({"name": "a.png", "size_bytes": 1, "content_type": "image/png\r\nX-Amz-Acl: all"}, 422, "request_invalid"),
        ({"name": "a.png"}, 422, "request_invalid"),
        ({"name": "a.png", "size_bytes": 1, "key": "../street/a.png"}, 422, "request_invalid"),
    ],
    ids=["ending", "too large together", "empty", "too large for S3", "a header more", "no size", "a place"],
)  # fmt: skip
def test_what_no_upload_could_be_is_not_signed(sqlite_store, tmp_path, bucket, file, status, code):
    services = services_on(sqlite_store, tmp_path, uploads="s3://labels/in", max_upload_bytes=1000)

    answer = presigned(client_of(services), {"name": "b.png", "size_bytes": 401}, file)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_server_without_a_bucket_says_what_to_do(sqlite_store, tmp_path):
    answer = presigned(client_of(services_on(sqlite_store, tmp_path)))

    assert (answer.status_code, answer.headers["content-type"]) == (409, "application/problem+json")
    assert answer.json()["code"] == "presign_unavailable"
    assert "POST /v1/uploads" in answer.json()["detail"]
    assert "NIGHTSHIFT_SERVER__UPLOADS" in answer.json()["detail"]


def test_readers_are_given_no_place_to_send_to(in_bucket):
    with TestClient(create_app(in_bucket), headers=bearer(in_bucket.store, Role.READER)) as client:
        assert presigned(client).status_code == 403


def test_without_credentials_nothing_is_signed(in_bucket, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    answer = presigned(client_of(in_bucket))

    assert (answer.status_code, answer.json()["code"]) == (503, "upload_failed")


@pytest.mark.parametrize(
    "source",
    ["{uri}", "S3{tail}", "s3://labels/taken/in/yard/", "s3://labels/taken/in", "s3://labels/t*/in/*/*.png", "{list}"],
    ids=["its address", "in capitals", "its folder", "the folder of all", "a pattern", "a list"],
)
def test_another_tenants_upload_in_the_bucket_is_no_source(in_bucket, bucket, tmp_path, source):
    uri = send(client_of(in_bucket, "yard"))["uri"]
    named = tmp_path / "photos" / "list.txt"
    named.write_text(f"{uri}\n")
    wanted = source.format(uri=uri, tail=uri[2:], list=named)

    answer = client_of(in_bucket, "street").post(
        "/v1/jobs", json={"model": "digits", "sources": [wanted], "hardware": ["cpu"]}
    )

    assert (answer.status_code, answer.json()["code"]) == (422, "source_denied"), answer.text
    assert in_bucket.store.jobs() == []


def test_what_is_beside_the_uploads_in_their_bucket_is_read(in_bucket, bucket):
    boto3.client("s3").put_object(Bucket="labels", Key="taken/inside/a.png", Body=PIXELS)

    answer = client_of(in_bucket).post(
        "/v1/jobs", json={"model": "digits", "sources": ["s3://labels/taken/inside/"], "hardware": ["cpu"]}
    )

    assert answer.status_code == 201, answer.text


def test_a_bucket_that_refuses_is_told_without_credentials(in_bucket, s3_server, monkeypatch):
    monkeypatch.setattr("producer.exports.bucket._RETRIES", {"mode": "legacy", "total_max_attempts": 1})
    s3_server.troubled, s3_server.most = "labels/taken", 10**6

    answer = client_of(in_bucket).post("/v1/uploads", files={"files": ("a.png", PIXELS)})

    assert (answer.status_code, answer.json()["code"]) == (503, "upload_failed")
    assert answer.json()["retryable"]
    assert "do-not-tell" not in answer.text


def test_a_folder_of_the_server_is_still_its_own(in_bucket, tmp_path):
    """Uploads of the time before the bucket stay their tenant's."""
    folder = tmp_path / "data" / "uploads"
    for tenant in ("yard", "street"):
        (folder / tenant).mkdir(parents=True)
        (folder / tenant / "a.png").write_bytes(PIXELS)
    client = client_of(in_bucket, "yard")
    answers = [
        client.post("/v1/jobs", json={"model": "d", "sources": [str(folder / tenant / "a.png")], "hardware": ["cpu"]})
        for tenant in ("yard", "street")
    ]

    assert [answer.status_code for answer in answers] == [201, 422]


def test_a_bucket_that_workers_would_not_read_is_refused_at_the_start(monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_SERVER__UPLOADS", "s3://labels/in")
    monkeypatch.setenv("NIGHTSHIFT_FETCH__ALLOWED_BUCKETS", "cams-*")

    with pytest.raises(SettingsInvalid, match="NIGHTSHIFT_SERVER__UPLOADS"):
        load_settings().server_options("127.0.0.1", needs_token=True)


@pytest.mark.parametrize("place", ["gs://labels", "/var/uploads", "s3://", "s3://labels/a?b"])
def test_a_place_that_cannot_be_is_refused_at_the_start(monkeypatch, place):
    monkeypatch.setenv("NIGHTSHIFT_SERVER__UPLOADS", place)

    with pytest.raises(SettingsInvalid, match="NIGHTSHIFT_SERVER__UPLOADS"):
        load_settings()
