import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobstore.errors import InvalidJob
from jobstore.schema import ItemRef, JobSpec
from jobstore.submit import ItemSpool, check_spec, plan_shards, usual_name
from videos.options import Clip


@given(total=st.integers(1, 2000), size=st.integers(1, 300))
def test_shards_cover_every_item_once_and_none_is_too_large(total, size):
    ranges = list(plan_shards(total, size))

    assert [idx for first, last in ranges for idx in range(first, last + 1)] == list(range(total))
    assert all(0 <= last - first < size for first, last in ranges)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": ""}, "no model"),
        ({"hardware": ()}, "no hardware class"),
        ({"shard_size": 0}, "shard_size 0: expected 1 or more"),
        ({"max_failure_rate": 1.5}, r"max_failure_rate 1\.5: expected 0 to 1"),
        ({"priority": 2**31}, "priority 2147483648"),
        ({"tenant": "a\0"}, "tenant"),
        ({"name": "\udcff"}, "name"),
        ({"wishes": {"backends": "onnx"}}, "no wish is called 'backends'; did you mean 'backend'"),
        ({"wishes": {"trust": True}}, "wish 'trust': .* never by a job"),
        ({"wishes": {"batch_size": [8, 1]}}, r"wish 'batch_size': .*found \[8, 1\]"),
        ({"wishes": {"execution_providers": "CPUExecutionProvider"}}, "each alone or with its options"),
        ({"wishes": {"nms_fusion": {"speed": 1}}}, "some of class_agnostic, confidence"),
    ],
    ids=[
        *("model", "hardware", "shard-size", "rate", "priority", "tenant", "name"),
        *("unknown wish", "trust", "batch", "providers", "fusion"),
    ],
)
def test_what_can_never_run_is_refused_with_the_reason(changes, words):
    with pytest.raises(InvalidJob, match=words):
        check_spec(JobSpec(**({"model": "digits"} | changes)))


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(InvalidJob, match=r"no model.*; shard_size -1"):
        check_spec(JobSpec(model="", shard_size=-1))


def test_a_good_spec_passes():
    check_spec(JobSpec(model="digits"))
    check_spec(JobSpec(model="digits", wishes={"backend": ["onnx"], "batch_size": 4, "strategy": "measured"}))


def test_a_spool_walks_its_source_once_and_can_be_read_twice():
    refs = iter([ItemRef("/a\nb.png"), ItemRef("/ü.png", {"k": [1]}), ItemRef("/c.mp4", clip=Clip(4.0))])
    written = [["/a\nb.png", None, None, None], ["/ü.png", '{"k":[1]}', None, None], ["/c.mp4", None, 4.0, None]]

    with ItemSpool(refs) as spool:
        assert list(map(json.loads, spool.lines())) == list(map(json.loads, spool.lines())) == written
        assert (spool.total, spool.first_uri) == (3, "/a\nb.png")


def test_a_spool_of_many_items_moves_to_disk():
    with ItemSpool(ItemRef("/" + "x" * 1000) for _ in range(9000)) as spool:
        assert spool._file._rolled
        assert sum(1 for _ in spool.lines()) == 9000


@pytest.mark.parametrize(
    ("uri", "total", "name"),
    [
        ("/data/photos/1.jpg", 200, "yolo.onnx: photos"), ("/data/photos/1.jpg", 1, "yolo.onnx: 1.jpg"),
        ("1.jpg", 2, "yolo.onnx: 1.jpg"), ("s3://cams/yard/1.jpg", 2, "yolo.onnx: yard"),
        ("s3://cams/1.jpg", 2, "yolo.onnx: cams"),
    ],
    ids=["folder", "one", "bare", "prefix", "bucket"],
)  # fmt: skip
def test_a_job_without_a_name_is_called_by_its_model_and_its_pictures_folder(uri, total, name):
    assert usual_name("/models/yolo.onnx", uri, total) == name
