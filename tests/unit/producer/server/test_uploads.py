"""Uploads that workers can read: in a folder that is theirs without being listed, or in a bucket."""

import hashlib

import boto3
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
