import contextlib
import dataclasses
import io
import json
import subprocess
import sysconfig
from pathlib import Path

import pytest
from pycocotools.coco import COCO

from tests.contract.exports.conftest import write
from videos.options import Clip


@pytest.fixture
def written(tmp_path, job, rows, decisions):
    summary = write("coco", job, rows, decisions, tmp_path / "out")
    return summary, json.loads(summary.path.read_text())


def load(path):
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def test_items_with_a_record_are_images_and_the_others_are_counted(written):
    summary, data = written

    assert (summary.items, summary.objects) == (6, 12)
    assert len(data["images"]) == 6
    assert data["info"]["items"] == {"failed": 1, "ok": 6, "skipped": 1}
    assert data["images"][0]["width"] == 640
    assert data["images"][0]["height"] == 480


def test_pictures_of_the_same_name_in_two_folders_stay_apart(written):
    _, data = written

    names = [image["file_name"] for image in data["images"]]
    assert names[0] == "gate/0000.jpg"
    assert names[3] == "yard & <co>/0000.jpg"
    assert len(set(names)) == 6


def test_boxes_are_x_y_width_height_with_score_and_shifted_class(written):
    _, data = written

    assert data["annotations"][1] == {
        "id": 2,
        "image_id": 1,
        "category_id": 2,
        "bbox": [50.25, 20.5, 189.875, 279.5],
        "area": pytest.approx(53070.062),
        "iscrowd": 0,
        "segmentation": [],
        "score": 0.8,
    }
    assert [(each["id"], each["name"]) for each in data["categories"]] == [(1, "cat"), (2, "dog"), (3, "Fußgänger")]


def test_pycocotools_loads_the_dataset_and_the_results_list(written):
    summary, _ = written

    truth = load(summary.path)
    with contextlib.redirect_stdout(io.StringIO()):
        results = truth.loadRes(str(summary.files[1]))

    assert len(truth.getAnnIds()) == len(results.getAnnIds()) == 12
    assert truth.loadCats(truth.getCatIds(["dog"]))[0]["id"] == 2


def test_panlabel_finds_nothing_to_complain_about(written):
    summary, _ = written
    panlabel = Path(sysconfig.get_path("scripts")) / "panlabel"

    done = subprocess.run(
        [panlabel, "validate", "--strict", "--format", "coco", summary.path],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_classes_of_a_job_without_names_come_from_its_records(tmp_path, job, rows, decisions):
    summary = write("coco", dataclasses.replace(job, class_names=None), rows, decisions, tmp_path)

    assert [each["name"] for each in json.loads(summary.path.read_text())["categories"]] == ["cat", "dog"]


def test_uris_of_several_kinds_have_one_root(tmp_path, job, rows, decisions):
    uris = ["/data/a/1.jpg", "file:///data/b/1%20x.jpg", "s3://data/a/1.jpg"]
    mixed = [dataclasses.replace(row, uri=uri) for row, uri in zip(rows, uris, strict=False)]

    data = json.loads(write("coco", job, mixed, decisions, tmp_path).path.read_text())

    assert [image["file_name"] for image in data["images"]] == ["data/a/1.jpg", "data/b/1 x.jpg", "s3/data/a/1.jpg"]


def test_one_picture_is_named_by_its_base_name(tmp_path, job, rows, decisions):
    data = json.loads(write("coco", job, rows[:1], decisions, tmp_path).path.read_text())

    assert data["images"][0]["file_name"] == "0000.jpg"


def test_a_folder_whose_name_begins_like_another_is_another(tmp_path, job, rows, decisions):
    pair = [dataclasses.replace(rows[n], uri=uri) for n, uri in enumerate(["/a/cam/1.jpg", "/a/cam2/1.jpg"])]

    data = json.loads(write("coco", job, pair, decisions, tmp_path).path.read_text())

    assert [image["file_name"] for image in data["images"]] == ["cam/1.jpg", "cam2/1.jpg"]


def test_frames_of_a_video_are_images_and_the_video_itself_is_none(tmp_path, job, rows, decisions):
    clip = {"uri": "/cameras/clip.mp4", "clip": Clip()}
    summed = dataclasses.replace(rows[0], record={"task": "video", "frames_read": 2}, **clip)
    frames = [dataclasses.replace(rows[0], frame=n, timestamp_s=n / 2, **clip) for n in (1, 12)]

    summary = write("coco", job, [summed, *frames], decisions, tmp_path)

    images = json.loads(summary.path.read_text())["images"]
    assert [(image["file_name"], image["timestamp_s"]) for image in images] == [
        ("clip.mp4@1", 0.5),
        ("clip.mp4@12", 6.0),
    ]
