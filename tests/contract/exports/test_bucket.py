"""Exports to a bucket of an S3 server: complete, with a manifest, or without one."""

import hashlib
import json
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from producer.errors import ExportFailed, ExportOptionInvalid
from producer.exports import bucket as bucket_module
from producer.exports import write_exports
from producer.exports.bucket import UNDER_WAY, upload_exports
from tests.contract.exports.conftest import dataset_of, make_row
from tests.fixtures.buckets import PASSING

FORMATS = ["coco", "yolo", "jsonl"]
URL = "s3://labels/nightly/yard"


@pytest.fixture
def dataset(job, rows, decisions):
    return dataset_of(job, rows, decisions)


def content(bucket, prefix="nightly/yard/"):
    found = bucket.objects.filter(Prefix=prefix)
    return {item.key.removeprefix(prefix): item.get()["Body"].read() for item in found}


def on_disk(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("prefix", ["nightly/yard", "nightly/yard/", ""], ids=["prefix", "slash", "whole bucket"])
def test_a_bucket_gets_the_same_bytes_as_a_folder(tmp_path, bucket, dataset, prefix):
    write_exports(dataset, FORMATS, tmp_path / "out")

    summaries = upload_exports(dataset, FORMATS, f"s3://labels/{prefix}")

    place = f"{prefix.strip('/')}/" if prefix else ""
    assert content(bucket, place) == on_disk(tmp_path / "out")
    url = f"s3://labels/{place}coco/annotations.json"
    assert (summaries[0].url, str(summaries[0].path)) == (url, "coco/annotations.json")


def test_every_file_of_the_manifest_is_there_with_its_hash(bucket, dataset):
    upload_exports(dataset, FORMATS, URL)

    found = content(bucket)
    for described in json.loads(found["manifest.json"])["formats"].values():
        for file in described["files"]:
            assert hashlib.sha256(found[file["path"]]).hexdigest() == file["sha256"]


def test_files_that_a_later_export_does_not_have_are_removed_and_others_stay(bucket, job, rows, decisions, dataset):
    upload_exports(dataset, ["yolo", "coco"], URL)
    bucket.put_object(Key="nightly/yard/notes.txt", Body=b"mine")
    bucket.put_object(Key="nightly/yardstick/yolo/labels/1.txt", Body=b"mine too")

    upload_exports(dataset_of(job, rows[:1], decisions), ["yolo"], URL)

    found = content(bucket)
    assert {name for name in found if name.startswith("yolo/labels")} == {"yolo/labels/0000.txt"}
    assert found["notes.txt"] == b"mine"
    assert "coco/annotations.json" in found
    assert content(bucket, "nightly/yardstick/")


def test_somebodys_own_files_are_never_replaced(bucket, dataset):
    bucket.put_object(Key="nightly/yard/yolo/data.yaml", Body=b"mine")

    with pytest.raises(ExportFailed, match=r"yolo/data\.yaml, which is of no earlier export"):
        upload_exports(dataset, FORMATS, URL)

    assert content(bucket) == {"yolo/data.yaml": b"mine"}


def test_a_large_file_goes_up_in_parts(bucket, job, decisions):
    rows = [make_row(number, f"/p/{number}.jpg", 100) for number in range(2000)]

    upload_exports(dataset_of(job, rows, decisions), ["jsonl"], URL)

    found = bucket.Object("nightly/yard/results.jsonl")
    assert found.content_length > 8 << 20
    assert "-" in found.e_tag  # S3's sign of an upload in parts


@pytest.mark.parametrize(
    ("url", "error", "words"),
    [("s3://absent/x", ExportFailed, "NoSuchBucket"), ("s3://", ExportOptionInvalid, "expected s3://bucket/prefix")],
)
def test_a_bucket_that_is_not_there_is_told_without_credentials(bucket, dataset, url, error, words):
    with pytest.raises(error, match=words) as caught:
        upload_exports(dataset, FORMATS, url)

    assert "do-not-tell" not in str(caught.value)


def test_a_server_that_does_not_answer_is_a_typed_error(bucket, dataset, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setitem(bucket_module._RETRIES, "total_max_attempts", 2)

    with pytest.raises(ExportFailed, match="AWS_ENDPOINT_URL_S3"):
        upload_exports(dataset, ["jsonl"], URL)


@pytest.mark.parametrize("code", PASSING)
def test_requests_that_are_refused_for_a_while_are_made_again(tmp_path, bucket, s3_server, dataset, code):
    s3_server.troubled, s3_server.code = "nightly/yard/", code

    upload_exports(dataset, FORMATS, URL)

    assert max(s3_server.refused.values()) == 2
    s3_server.troubled = None
    write_exports(dataset, FORMATS, tmp_path / "out")
    assert content(bucket) == on_disk(tmp_path / "out")


def test_a_part_that_is_refused_for_good_leaves_no_parts_and_no_manifest(
    bucket, s3_server, job, decisions, monkeypatch
):
    monkeypatch.setattr("producer.exports.bucket._RETRIES", {"mode": "legacy", "total_max_attempts": 2})
    rows = [make_row(number, f"/p/{number}.jpg", 100) for number in range(2000)]
    upload_exports(dataset_of(job, rows[:5], decisions), ["jsonl"], URL)
    s3_server.troubled, s3_server.most, s3_server.methods = "results.jsonl", 10**6, frozenset({"PUT"})

    with pytest.raises(ExportFailed, match="SlowDown"):
        upload_exports(dataset_of(job, rows, decisions), ["jsonl"], URL)

    assert any("partNumber" in query for _, _, query in s3_server.refused)
    assert not list(bucket.multipart_uploads.all())
    found = content(bucket)
    assert "manifest.json" not in found
    assert UNDER_WAY in found
    s3_server.troubled = None
    upload_exports(dataset_of(job, rows, decisions), ["jsonl"], URL)
    assert len(content(bucket)["results.jsonl"].splitlines()) == 2000


def test_parts_that_a_killed_upload_left_are_given_up_by_the_next(bucket, dataset):
    client = bucket.meta.client
    for key in ("nightly/yard/coco/annotations.json", "nightly/yard/notes.bin", "elsewhere.json"):
        client.create_multipart_upload(Bucket="labels", Key=key)

    upload_exports(dataset, ["coco"], URL)

    assert {left.object_key for left in bucket.multipart_uploads.all()} == {"nightly/yard/notes.bin", "elsewhere.json"}


UPLOAD = """
import pickle, sys
from pathlib import Path
from producer.exports.bucket import upload_exports
from tests.contract.exports.conftest import dataset_of
upload_exports(dataset_of(*pickle.loads(Path(sys.argv[1]).read_bytes())), ["coco", "yolo"], sys.argv[2])
"""


def test_an_upload_that_was_killed_has_no_manifest_and_repeated_gives_the_same_bytes(tmp_path, bucket, job, decisions):
    rows = [make_row(number, f"/p/{number}.jpg") for number in range(200)]
    old = dataset_of(job, rows[:5], decisions)
    upload_exports(old, ["coco", "yolo"], URL)
    packed = tmp_path / "rows"
    packed.write_bytes(pickle.dumps((job, rows, decisions)))
    root, seen = Path(__file__).parents[3], 0

    with subprocess.Popen([sys.executable, "-c", UPLOAD, packed, URL], cwd=root) as process:
        deadline = time.monotonic() + 60
        while seen < 20:  # the export before has 5
            assert time.monotonic() < deadline, "nothing went up"
            seen = len(list(bucket.objects.filter(Prefix="nightly/yard/yolo/labels/")))
        process.send_signal(signal.SIGKILL)

    found = content(bucket)
    assert "manifest.json" not in found
    assert UNDER_WAY in found
    upload_exports(dataset_of(job, rows, decisions), ["coco", "yolo"], URL)
    write_exports(dataset_of(job, rows, decisions), ["coco", "yolo"], tmp_path / "out")
    assert content(bucket) == on_disk(tmp_path / "out")
