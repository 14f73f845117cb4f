"""COCO's metric on a job's rows, held against pycocotools and against cases worked out by hand."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import io
import json
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from producer.errors import ExportFailed
from producer.judging.evaluation.report import write_report
from tests.fixtures.judging import NAMES, boxes, judge, one_image, row

HW = (300, 400)
KINDS = {"boxes": "bbox", "masks": "segm", "key points": "keypoints"}


def same(value):
    """pycocotools adds 2e-16 to every denominator, which makes its 1.0 a 0.9999999999999998; nothing else differs."""
    return pytest.approx(value, rel=0, abs=1e-15)


def test_one_right_and_one_wrong_box_of_a_class_give_the_precision_that_a_hand_works_out(write):
    """Two cats; the surest box is wrong, the second is right: precision 1/2 up to recall 1/2, nothing beyond."""
    path = write(one_image((3, [0, 0, 10, 10]), (3, [50, 50, 10, 10])))
    found = boxes((0, 0.9, 100, 0, 110, 10), (0, 0.8, 0, 0, 10, 10))

    figures = judge(path, [row(0, "/photos/gate/0001.jpg", found)]).kinds[0]

    cat = next(each for each in figures.classes if each.name == "cat")
    assert (cat.truth, cat.found) == (2, 2)
    assert cat.ap50 == cat.ap == pytest.approx(51 * 0.5 / 101)  # 51 of the 101 recalls are at most 1/2
    assert cat.ar == 0.5
    assert next(each for each in figures.classes if each.name == "dog").ap is None
    assert figures.ap == cat.ap


def test_an_annotation_of_number_0_counts_like_any_other(write):
    path = write(one_image((3, [0, 0, 10, 10])))
    assert json.loads(path.read_text())["annotations"][0]["id"] == 0

    found = judge(path, [row(0, "/photos/gate/0001.jpg", boxes((0, 0.9, 0, 0, 10, 10)))])

    assert found.kinds[0].ap == 1.0


@pytest.fixture(params=[1, 2, 3], ids="seed {}".format)
def night(request):
    """Forty pictures of three classes with masks and points, and a detector that errs: all the ways of being wrong."""
    rng = np.random.default_rng(request.param)
    images = [
        {"id": 100 - n, "file_name": f"cam{n % 2}/{n // 2:04}.jpg", "width": 400, "height": 300} for n in range(40)
    ]
    categories = [{"id": 9 - 2 * n, "name": name, "keypoints": [f"p{k}" for k in range(17)]}
                  for n, name in enumerate(NAMES)]  # fmt: skip
    annotations, rows = [], []
    for idx, image in enumerate(images):
        truth, found = [], []
        for _ in range(int(rng.integers(0, 7))):
            size, at = rng.uniform(8, 150, 2), rng.uniform(0, 240, 2)
            class_id = int(rng.integers(3))
            truth.append((class_id, [*at, *(at + size)]))
            if rng.random() < 0.8:
                moved = np.clip(np.array([*at, *(at + size)]) + rng.normal(0, 4, 4), 0, 290)
                seen = class_id if rng.random() < 0.85 else int(rng.integers(3))
                found.append((seen, round(float(rng.random()), 3), *np.sort(moved.reshape(2, 2), axis=0).reshape(-1)))
        for class_id, box in truth:
            annotations.append(annotation(len(annotations) + 1, image, categories[class_id]["id"], box, rng))
        rows.append(row(idx, f"/night/{image['file_name']}", shapes(found, rng)))
    return {"images": images, "categories": categories, "annotations": annotations}, rows


def annotation(number, image, category_id, box, rng):
    x0, y0, x1, y1 = map(float, box)
    return {
        "id": number, "image_id": image["id"], "category_id": category_id, "bbox": [x0, y0, x1 - x0, y1 - y0],
        "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]], "area": (x1 - x0) * (y1 - y0),
        "iscrowd": 0, "keypoints": points(box, rng), "num_keypoints": 17,
    }  # fmt: skip


def points(box, rng):
    x0, y0, x1, y1 = map(float, box)
    at = np.stack([np.linspace(x0, x1, 17), np.linspace(y0, y1, 17)], axis=1) + rng.normal(0, 2, (17, 2))
    return [float(value) for x, y in at for value in (x, y, 2)]


def shapes(found, rng):
    record = boxes(*((c, s, *map(float, box)) for c, s, *box in found), hw=HW)
    masks, places = [], []
    for box in record["xyxy"]:
        dense = np.zeros(HW, np.uint8)
        x0, y0, x1, y1 = map(round, box)
        dense[y0:y1, x0:x1] = 1
        masks.append({"size": list(HW), "counts": coco_mask.encode(np.asfortranarray(dense))["counts"].decode()})
        places.append(np.reshape(points(box, rng), (17, 3))[:, :2].tolist())
    skeletons = [{"names": [f"p{k}" for k in range(17)], "edges": []}] * 3
    return {**record, "masks": masks, "xy": places, "skeletons": skeletons}


def pycocotools_figures(truth, rows, kind):
    """The same question put to pycocotools, from the rows on its own."""
    ids = {image["file_name"]: image["id"] for image in truth["images"]}
    categories = {category["name"]: category["id"] for category in truth["categories"]}
    results = []
    for each in rows:
        record = each.record
        for n, (x0, y0, x1, y1) in enumerate(record["xyxy"]):
            shape = {
                "bbox": {"bbox": [x0, y0, x1 - x0, y1 - y0]},
                "segm": {"segmentation": record["masks"][n]},
                "keypoints": {"keypoints": [value for x, y in record["xy"][n] for value in (x, y, 2)]},
            }[kind]
            base = {"image_id": ids[each.uri.removeprefix("/night/")], "score": record["confidence"][n]}
            results.append({**base, "category_id": categories[record["class_name"][n]], **shape})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = copy.deepcopy(truth)
        coco.createIndex()
        judged = COCOeval(coco, coco.loadRes(results), kind)
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return judged


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_figure_is_pycocotools_to_the_last_digit(write, night, kind):
    truth, rows = night

    found = next(each for each in judge(write(truth), rows).kinds if each.kind == kind)

    oracle = pycocotools_figures(truth, rows, KINDS[kind])
    stats, ar = list(oracle.stats), oracle.eval["recall"]
    sizes = ["small", "medium", "large"] if kind != "key points" else ["medium", "large"]
    assert [found.ap, found.ap50, found.ap75] == same(stats[:3])
    assert list(found.ap_by_size) == list(found.ar_by_size) == sizes
    assert list(found.ap_by_size.values()) == same(stats[3 : 3 + len(sizes)])
    assert list(found.ar_by_size.values()) == same(stats[-len(sizes) :])
    assert found.ar == same(np.mean(ar[:, :, 0, -1]))
    for place, category in enumerate(sorted(truth["categories"], key=lambda each: each["id"])):
        figures = next(each for each in found.classes if each.name == category["name"])
        precision = oracle.eval["precision"][:, :, place, 0, -1]
        means = (precision.mean(), precision[0].mean(), precision[5].mean())
        assert (figures.ap, figures.ap50, figures.ap75) == same(means)
        assert figures.ar == same(ar[:, place, 0, -1].mean())
        assert figures.truth == sum(each["category_id"] == category["id"] for each in truth["annotations"])
        curve = next(each for each in found.curves if each.name == figures.name)
        assert list(curve.precision) == same(precision[0].tolist())


def test_nothing_found_is_an_ap_of_0_and_not_an_error(write):
    figures = judge(write(one_image((3, [0, 0, 10, 10]))), [row(0, "/gate/0001.jpg", boxes())]).kinds[0]

    assert (figures.ap, figures.ap50, figures.ar) == (0.0, 0.0, 0.0)


def test_masks_of_every_form_are_judged(write):
    """A square of 10 x 10 as a polygon, as run lengths, and packed: all are found by the same mask."""
    dense = np.zeros((100, 200), np.uint8)
    dense[:10, :10] = 1
    packed = coco_mask.encode(np.asfortranarray(dense))["counts"].decode()
    runs = [0, 10, *[90, 10] * 9, 20000 - 910]
    forms = (
        [[0, 0, 10, 0, 10, 10, 0, 10]],
        {"size": [100, 200], "counts": runs},
        {"size": [100, 200], "counts": packed},
    )
    record = boxes((0, 0.9, 0, 0, 10, 10)) | {"masks": [{"size": [100, 200], "counts": packed}]}
    for form in forms:
        truth = one_image((3, [0, 0, 10, 10]))
        truth["annotations"][0]["segmentation"] = form

        found = judge(write(truth), [row(0, "/gate/0001.jpg", record)])

        assert [(each.kind, each.ap) for each in found.kinds] == [("boxes", 1.0), ("masks", 1.0)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda truth: truth["images"][0].pop("width"), "masks: the truth does not say the size of 1 pictures"),
        (lambda truth: truth["annotations"].append({"image_id": 7, "category_id": 3, "bbox": [0, 0, 1, 1]}),
         "masks: not every object of the truth has a segmentation"),
    ],
    ids=["size", "an object"],
)  # fmt: skip
def test_what_cannot_be_judged_is_noted_with_its_reason(write, change, words):
    truth = one_image((3, [0, 0, 10, 10]))
    truth["annotations"][0]["segmentation"] = [[0, 0, 10, 0, 10, 10, 0, 10]]
    change(truth)
    mask = np.zeros((100, 200), np.uint8)
    counts = coco_mask.encode(np.asfortranarray(mask))["counts"].decode()
    record = boxes((0, 0.9, 0, 0, 10, 10)) | {"masks": [{"size": [100, 200], "counts": counts}]}

    found = judge(write(truth), [row(0, "/gate/0001.jpg", record)])

    assert ([each.kind for each in found.kinds], found.notes) == (["boxes"], (words,))


def test_key_points_are_told_by_name_and_other_skeletons_have_one_tolerance(write):
    """One of two points in 10 x 10 pixels is off by 2: exp(-4 / (2 * 100 * 0.1^2)) = 0.1353, OKS = 1.1353 / 2."""
    truth = one_image((3, [0, 0, 10, 10]))
    truth["categories"][1]["keypoints"] = ["nose", "tail"]
    truth["annotations"][0] |= {"keypoints": [1, 1, 2, 9, 9, 2], "num_keypoints": 2, "area": 100}
    skeletons = [{"names": ["tail", "ear", "nose"], "edges": []}] * 3
    record = boxes((0, 0.9, 0, 0, 10, 10)) | {"xy": [[[9, 9], [5, 5], [1, 3]]], "skeletons": skeletons}

    found = judge(write(truth), [row(0, "/gate/0001.jpg", record)])

    points = found.kinds[1]
    assert (points.kind, points.ap50, points.ap75) == ("key points", 1.0, 0.0)
    assert points.ap == pytest.approx(2 / 10)  # IoU 0.5 and 0.55 of ten, since 0.5677 is below 0.6


def test_the_report_is_one_page_with_its_figures_as_json_and_its_curves_as_svg(write, night, tmp_path):
    truth, rows = night
    found = dataclasses.replace(judge(write(truth), rows), model="tiny <det>")

    page = write_report(found, tmp_path / "report")

    folder = page.parent
    assert sorted(path.name for path in folder.iterdir()) == [
        "curves-boxes.svg", "curves-key-points.svg", "curves-masks.svg", "index.html", "report.json",
    ]  # fmt: skip
    assert json.loads((folder / "report.json").read_text())["kinds"][0]["ap"] == found.kinds[0].ap
    assert "tiny &lt;det&gt;" in page.read_text()
    lines = ET.parse(folder / "curves-boxes.svg").getroot().findall("{http://www.w3.org/2000/svg}polyline")  # noqa: S314
    assert len(lines) == len(NAMES) + 1
    assert all(len(line.get("points").split()) == 101 for line in lines)


def test_a_report_never_replaces_a_folder_of_somebody(write, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    found = judge(write(one_image((3, [0, 0, 10, 10]))), [row(0, "/gate/0001.jpg", boxes())])

    with pytest.raises(ExportFailed):
        write_report(found, tmp_path / "mine")

    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
