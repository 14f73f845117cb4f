"""Labelled data beside a job's rows: which picture is which item, which class is which, and what cannot be judged."""

from __future__ import annotations

import sys

import pytest

from producer.errors import MissingExtra, NotComparable, TruthInvalid
from producer.judging.evaluation import evaluate, read_truth
from producer.judging.evaluation.names import NameTable
from tests.fixtures.judging import boxes, judge, one_image, row, status


def test_what_a_failed_picture_holds_counts_as_missed(write):
    truth = one_image((3, [0, 0, 10, 10]), (3, [0, 0, 10, 10]))
    truth["images"].append({"id": 8, "file_name": "gate/0002.jpg", "width": 200, "height": 100})
    truth["annotations"][1]["image_id"] = 8
    rows = [row(0, "/gate/0001.jpg", boxes((0, 0.9, 0, 0, 10, 10))), row(1, "/gate/0002.jpg", None)]

    found = judge(write(truth), rows)

    assert (found.images, found.failed, found.kinds[0].ar) == (2, 1, 0.5)


def test_missing_pictures_are_named_and_left_out_only_when_asked(write):
    truth = one_image((3, [0, 0, 10, 10]))
    truth["images"].append({"id": 8, "file_name": "gate/0002.jpg"})
    truth["annotations"].append({"image_id": 8, "category_id": 3, "bbox": [0, 0, 5, 5]})
    rows = [row(0, "/p/gate/0001.jpg", boxes((0, 0.9, 0, 0, 10, 10))), row(1, "/p/yard/0001.jpg", boxes())]
    path = write(truth)

    with pytest.raises(TruthInvalid, match=r"no outcome for 1 of 2 pictures of .*: gate/0002.jpg"):
        judge(path, rows)

    found = judge(path, rows, allow_missing=True)
    assert (found.missing, found.strangers, found.kinds[0].ap) == (("gate/0002.jpg",), 1, 1.0)


def test_a_moved_folder_still_fits_and_what_is_missing_counts_nowhere(write):
    """The truth's `val/a` lies at `/moved/a` now; the cat of the picture that was not labelled is no truth then."""
    truth = one_image((3, [0, 0, 10, 10]), name="val/a/1.jpg")
    truth["images"].append({"id": 8, "file_name": "val/b/1.jpg"})
    truth["annotations"].append({"image_id": 8, "category_id": 3, "bbox": [0, 0, 5, 5]})

    found = judge(write(truth), [row(0, "/moved/a/1.jpg", boxes((0, 0.9, 0, 0, 10, 10)))], allow_missing=True)

    cat = next(each for each in found.kinds[0].classes if each.name == "cat")
    assert (found.images, cat.truth, cat.ap) == (1, 1, 1.0)


def test_base_names_that_fit_two_items_are_refused(write):
    path = write(one_image((3, [0, 0, 10, 10]), name="0001.jpg"))
    rows = [row(0, "/p/gate/0001.jpg", boxes()), row(1, "/p/yard/0001.jpg", boxes())]

    with pytest.raises(TruthInvalid, match=r"two items fit the picture '0001\.jpg'"):
        judge(path, rows)


@pytest.mark.parametrize(
    ("names", "uri", "expected"),
    [
        (["0001.jpg"], "/p/gate/0001.jpg", ("0001.jpg", True)),
        (["0001.jpg", "gate/0001.jpg"], "/p/gate/0001.jpg", ("gate/0001.jpg", True)),
        (["gate/0001.jpg", "yard/0001.jpg"], "/p/yard/0001.jpg", ("yard/0001.jpg", True)),
        (["val/a/1.jpg", "val/b/1.jpg"], "s3://bucket/moved/b/1.jpg", ("val/b/1.jpg", False)),
        (["a b.jpg"], "file:///p/a%20b.jpg", ("a b.jpg", True)),
        ([r"gate\1.jpg"], "/p/gate/1.jpg", (r"gate\1.jpg", True)),
        (["./gate/../1.jpg"], "/p/1.jpg", ("./gate/../1.jpg", True)),
        (["1.jpg"], "/p/11.jpg", None),
        (["gate/1.jpg"], "/p/yard-gate/1.jpg", ("gate/1.jpg", False)),
    ],
    ids=["base name", "longest", "folder", "moved", "escaped", "windows", "dots", "end of a word", "moved folder"],
)
def test_an_item_is_the_picture_whose_name_its_path_ends_with(names, uri, expected):
    fit = NameTable(names).find(uri)

    assert (fit and (fit.name, fit.is_whole)) == expected


def test_a_frame_of_a_video_is_found_by_the_name_that_exports_give_it(write):
    path = write(one_image((3, [0, 0, 10, 10]), name="clip.mp4@12"))

    found = judge(path, [row(0, "/v/clip.mp4", boxes((0, 0.9, 0, 0, 10, 10)), frame=12)])

    assert found.kinds[0].ap == 1.0


def test_items_that_fit_by_whole_names_set_moved_ones_aside(write):
    path = write(one_image((3, [0, 0, 10, 10])))
    rows = [row(0, "/p/yard/0001.jpg", boxes()), row(1, "/p/gate/0001.jpg", boxes((0, 0.9, 0, 0, 10, 10)))]

    found = judge(path, rows)

    assert (found.images, found.strangers, found.kinds[0].ap) == (1, 1, 1.0)


def test_classes_are_told_by_name_and_unknown_ones_are_said(write):
    path = write(one_image((11, [0, 0, 10, 10])))
    found = judge(path, [row(0, "/gate/0001.jpg", boxes((1, 0.9, 0, 0, 10, 10), (2, 0.8, 0, 0, 9, 9)))])

    assert found.unknown_to_truth == {"bird": 1}
    assert found.kinds[0].ap == 1.0

    job = status(class_names=("dog", "bird"))
    other = evaluate(job, [row(0, "/gate/0001.jpg", boxes((1, 0.9, 0, 0, 10, 10)))], read_truth(path))
    assert other.unknown_to_model == ("cat",)


def test_no_class_in_common_is_an_error_that_names_both_sides(write):
    path = write(one_image((3, [0, 0, 10, 10])))

    with pytest.raises(TruthInvalid, match="no class in common\nthe truth has cat, dog; the model has Cat"):
        evaluate(status(class_names=("Cat",)), [row(0, "/gate/0001.jpg", boxes())], read_truth(path))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda truth: truth.pop("images"), "not in COCO's form: .*images"),
        (lambda truth: truth["images"].clear(), "has 0 images"),
        (lambda truth: truth["images"].append(truth["images"][0]), "image id 7 2 times"),
        (lambda truth: truth["categories"].append({"id": 1, "name": "cat"}), "category name 'cat' 2 times"),
        (lambda truth: truth["annotations"][0].update(image_id=1), "annotation 1: image_id 1 is no image"),
        (lambda truth: truth["annotations"][0].update(category_id=1), "annotation 1: category_id 1 is no category"),
        (lambda truth: truth["annotations"][0].update(bbox=[1, 2, 3]), r"bbox is \[1.0, 2.0, 3.0\], expected left"),
        (lambda truth: truth["annotations"][0].update(bbox=[1, 2, 3, -1]), "expected left, top, width, height"),
        (lambda truth: truth["annotations"][0].update(keypoints=[1, 2, 2]), "keypoints has 3 numbers, expected"),
        (lambda truth: truth["annotations"][0].update(segmentation=[[1, 2, 3, 4]]), "segmentation is no list of polyg"),
        (lambda truth: truth["annotations"][0].update(segmentation=[[1, 2, 3, 4, 5, "6"]]), "is no list of polygons"),
        (
            lambda truth: truth["annotations"][0].update(segmentation={"size": [2, 3], "counts": [4]}),
            "has runs of 4 pixels in an image of 2 x 3",
        ),
        (
            lambda truth: truth["annotations"][0].update(segmentation={"size": [2, 3], "counts": "zzzz"}),
            "is no mask of run lengths: a mask of",
        ),
    ],
    ids=[
        "no images", "empty", "doubled id", "doubled class", "image", "category", "short box", "negative box", "points",
        "polygon", "text in a polygon", "runs", "packed runs",
    ],
)  # fmt: skip
def test_damaged_truth_is_refused_with_the_place(write, change, words):
    truth = one_image((3, [0, 0, 10, 10]))
    change(truth)

    with pytest.raises(TruthInvalid, match=words):
        read_truth(write(truth))


def test_without_the_library_the_extra_is_named(write, monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)

    with pytest.raises(MissingExtra, match=r"pip install \"nightshift\[eval\]\""):
        judge(write(one_image((3, [0, 0, 10, 10]))), [])


def test_a_truth_that_is_not_there_is_said(tmp_path):
    with pytest.raises(TruthInvalid, match="cannot be read: No such file"):
        read_truth(tmp_path / "nowhere.json")


def test_records_without_boxes_are_refused(write):
    record = {"task": "depth-estimation", "image_hw": [100, 200]}

    with pytest.raises(NotComparable, match="found task 'depth-estimation'"):
        judge(write(one_image((3, [0, 0, 10, 10]))), [row(0, "/gate/0001.jpg", record)])


def test_damaged_masks_never_reach_the_evaluator(write):
    record = boxes((0, 0.9, 0, 0, 10, 10)) | {"masks": [{"size": [100, 200], "counts": "zzzz"}]}

    with pytest.raises(NotComparable, match="cannot be judged"):
        judge(write(one_image((3, [0, 0, 10, 10]))), [row(0, "/gate/0001.jpg", record)])
