"""Boxes in every format that panlabel reads: each is valid, and all of them say the same."""

import dataclasses
import itertools
import json
import subprocess
import sysconfig
from pathlib import Path

import pytest

from producer.exports import write_exports
from tests.contract.exports.conftest import dataset_of

PANLABEL = Path(sysconfig.get_path("scripts"), "panlabel")
#: Our name, and what panlabel is given to read.
FORMATS = {
    "coco": "coco/annotations.json",
    "cvat": "cvat/annotations.xml",
    "hf": "hf",
    "label-studio": "label-studio/tasks.json",
    "voc": "voc",
    "yolo": "yolo",
}
PAIRS = list(itertools.combinations(FORMATS, 2))
#: Of these panlabel reads the list of classes, of others those that occur; one class of the job does not.
WITH_UNUSED_CLASSES = {"coco", "yolo"}


@pytest.fixture
def out(tmp_path, job, rows, decisions, photos):
    """One folder of pictures: panlabel reads VOC files of one folder only, and wants unique names in Label Studio."""
    for path in (photos / "yard & <co>").iterdir():
        path.rename(photos / "gate" / f"1{path.name[1:]}")
    flat = [dataclasses.replace(row, uri=row.uri.replace("/yard & <co>/0", "/gate/1")) for row in rows]
    write_exports(dataset_of(job, flat, decisions, with_images=True), list(FORMATS), tmp_path / "out")
    # A task's picture is a path of Label Studio's own server, in a query that panlabel does not read.
    tasks = tmp_path / "out" / FORMATS["label-studio"]
    tasks.write_text(tasks.read_text().replace("/data/local-files/?d=", "https://photos.example/"))
    # Trainers want both splits, which are the same here; panlabel would read every picture twice.
    config = tmp_path / "out" / "yolo" / "data.yaml"
    config.write_text(config.read_text().replace("train: images\nval: images\n", ""))
    return tmp_path / "out"


def panlabel(*arguments):
    done = subprocess.run([PANLABEL, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", FORMATS)
def test_panlabel_finds_nothing_to_complain_about(out, name):
    panlabel("validate", "--strict", "--format", name, out / FORMATS[name])


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
def test_two_formats_have_the_same_pictures_classes_and_boxes(out, one, other):
    shown = panlabel(
        "diff", "--format-a", one, "--format-b", other, "--match-by", "iou", "--iou-threshold", "0.9999",
        "--output-format", "json", out / FORMATS[one], out / FORMATS[other],
    )  # fmt: skip

    found = json.loads(shown)
    assert counts(found["images"]) == (6, 0, 0)
    assert counts(found["annotations"]) == (12, 0, 0)
    assert found["annotations"]["modified"] == 0
    a, b = (name in WITH_UNUSED_CLASSES for name in (one, other))
    assert counts(found["categories"]) == (2 + (a and b), int(a and not b), int(b and not a))


def counts(part):
    return part["shared"], part["only_in_a"], part["only_in_b"]
