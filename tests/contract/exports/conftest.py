"""A small job with every kind of outcome, and its rows as the store gives them."""

import dataclasses

import numpy as np
import pytest

from jobstore.schema import DecisionId, DecisionRow, ItemError, JobId, JobState, OutcomeState, WorkerId
from jobstore.views import JobStatus, ResultRow
from producer.exports import Dataset, ExportOptions, find_format
from tests.fixtures.buckets import bucket, s3_server

__all__ = ["bucket", "dataset_of", "make_row", "s3_server", "write"]

NAMES = ("cat", "dog", "Fußgänger")


def dataset_of(job, rows, decisions, **options):
    """Rows are a sequence, or a function that gives them anew at each reading."""
    return Dataset(job, decisions, rows if callable(rows) else lambda: iter(rows), ExportOptions(**options))


def write(name, job, rows, decisions, dest, **options):
    return find_format(name).export(dataset_of(job, rows, decisions, **options), dest)


@pytest.fixture
def photos(tmp_path):
    """Two cameras with the same file names."""
    import cv2

    for camera, grey in (("gate", 40), ("yard & <co>", 220)):
        folder = tmp_path / "photos" / camera
        folder.mkdir(parents=True)
        for number in range(3):
            cv2.imwrite(str(folder / f"{number:04}.jpg"), np.full((480, 640, 3), grey, np.uint8))
    return tmp_path / "photos"


@pytest.fixture
def rows(photos):
    pictures = [make_row(idx, str(path)) for idx, path in enumerate(sorted(photos.rglob("*.jpg")))]
    failed = dataclasses.replace(
        make_row(len(pictures), f"{photos}/gate/<b>.jpg"),
        state=OutcomeState.FAILED,
        record=None,
        error=ItemError("image_truncated", "found 3 bytes & no more"),
        metadata={"camera": "gate", "n": [1, None]},
    )
    skipped = dataclasses.replace(failed, idx=len(pictures) + 1, state=OutcomeState.SKIPPED, error=None)
    return [*pictures, failed, skipped]


def make_row(idx, uri, boxes=2):
    record = {
        "task": "object-detection",
        "image_hw": [480, 640],
        "xyxy": [[10.25 + 40 * n, 20.5, 200.125 + 40 * n, 300.0] for n in range(boxes)],
        "confidence": [0.9 - 0.1 * n for n in range(boxes)],
        "class_id": [n % 3 for n in range(boxes)],
        "class_name": [NAMES[n % 3] for n in range(boxes)],
    }
    timings = {"fetch": 0.5, "decode": 2.25}
    return ResultRow(idx, 0, uri, None, OutcomeState.OK, record, None, None, timings, DecisionId("d1"), 1)


@pytest.fixture
def job(rows):
    counts = {state: sum(row.state is state for row in rows) for state in OutcomeState}
    return JobStatus(
        job_id=JobId("0193-job"),
        tenant="default",
        name="yard <cameras>",
        model="tinydet",
        task="object-detection",
        state=JobState.COMPLETED_WITH_ERRORS,
        reason=None,
        message=None,
        total=len(rows),
        ok=counts[OutcomeState.OK],
        cached=counts[OutcomeState.CACHED],
        failed=counts[OutcomeState.FAILED],
        skipped=counts[OutcomeState.SKIPPED],
        objects=2 * counts[OutcomeState.OK],
        priority=0,
        max_failure_rate=0.02,
        hardware=("cpu",),
        params={"confidence": 0.4},
        wishes={},
        tags={"team": "yard"},
        class_names=NAMES,
        model_digest="sha256:ab",
        created=1.7e9,
        started=1.7e9,
        finished=1.7e9 + 60,
        now=1.7e9 + 90,
    )


@pytest.fixture
def decisions():
    row = DecisionRow(
        job_id=JobId("0193-job"),
        worker_id=WorkerId("w1"),
        model_id="tinydet",
        package_id="tinydet-onnx",
        package_digest="sha256:ab",
        backend="onnx",
        device="cpu",
        quantization="fp32",
        max_batch_size=8,
        strategy="order",
        task="object-detection",
        class_names=NAMES,
        candidates=(),
        versions={"nightshift": "0.1.0"},
        machine={},
        load_ms=12.0,
    )
    return {"d1": row}
