"""`Producer.export` from a real store, to a folder and to a bucket."""

import json

import pytest

from jobstore.dispatch import Doorbell
from jobstore.schema import Outcome, OutcomeState
from producer.direct import Direct
from producer.errors import FormatUnsuitable
from producer.exporting import export_job, fitting_formats
from producer.exports import ExportOptions
from producer.exports.records import Kind
from tests.contract.exports.predictions import MAKERS
from tests.fixtures.jobs import add, failed, lease_next, write

NO_REDIS = "redis://127.0.0.1:1/0"


@pytest.fixture
def producer(store):
    return Direct(store, Doorbell(NO_REDIS))


def label(store, kind):
    """A job of eight pictures of which four are done: three with a record, one failed."""
    job_id = add(store, 8, max_failure_rate=1.0)
    lease = lease_next(store)
    record = MAKERS[kind]().to_record()
    outcomes = [Outcome(item.idx, OutcomeState.OK, record=record) for item in lease.items[1:]]
    write(store, lease, [failed(lease.items[0].idx), *outcomes], finished=True)
    return job_id


def test_a_job_that_still_runs_is_exported_as_far_as_it_is(store, producer, tmp_path):
    job_id = label(store, Kind.BOXES)

    coco, jsonl = export_job(producer, job_id, ["coco", "jsonl"], tmp_path)

    assert (coco.items, coco.objects, jsonl.items) == (3, 6, 4)
    counts = json.loads((tmp_path / "manifest.json").read_text())["counts"]
    assert (counts["ok"], counts["failed"], counts["pending"]) == (3, 1, 4)


def test_options_reach_every_format(store, producer, tmp_path):
    job_id = label(store, Kind.BOXES)

    options = ExportOptions(min_confidence=0.8, states=(OutcomeState.OK,))
    coco, jsonl = export_job(producer, job_id, ["coco", "jsonl"], tmp_path, options)

    assert (coco.objects, jsonl.items, jsonl.objects) == (3, 3, 3)


def test_formats_that_fit_are_known_before_anything_is_written(store, producer, tmp_path):
    job_id = label(store, Kind.CLASSES)

    assert fitting_formats(producer, job_id, ["coco", "jsonl", "csv"]) == ("jsonl", "csv")
    with pytest.raises(FormatUnsuitable, match="hold classes"):
        export_job(producer, job_id, ["jsonl", "coco"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_bucket_is_a_destination_like_a_folder(store, producer, bucket):
    job_id = label(store, Kind.BOXES)

    (summary,) = export_job(producer, job_id, ["coco"], "s3://labels/night")

    assert summary.url == "s3://labels/night/coco/annotations.json"
    assert {item.key for item in bucket.objects.all()} == {
        "night/coco/annotations.json", "night/coco/results.json", "night/manifest.json"
    }  # fmt: skip
