import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from nightshift.pages import CLASS_NAMES, DIGIT_PX, load_scans, make_page, write_pages


def page_of(seed, hw=(480, 640)):
    return make_page(load_scans("held_out"), np.random.default_rng(seed), hw)


def test_no_scan_is_in_both_splits():
    train, held_out = (load_scans(split).masks for split in ("train", "held_out"))

    together = np.concatenate([train, held_out]).reshape(-1, 64)

    assert len(np.unique(together, axis=0)) == len(train) + len(held_out) == 1797


@pytest.mark.parametrize(("split", "least"), [("train", 130), ("held_out", 30)])
def test_every_class_is_in_each_split(split, least):
    assert np.bincount(load_scans(split).class_id, minlength=10).min() >= least


def test_another_seed_splits_otherwise():
    assert not np.array_equal(load_scans("train").masks, load_scans("train", seed=1).masks)


def test_the_same_seed_draws_the_same_page():
    first, second = page_of(3), page_of(3)

    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.xyxy, second.xyxy)
    np.testing.assert_array_equal(first.class_id, second.class_id)


def test_another_seed_draws_another_page():
    assert not np.array_equal(page_of(3).image, page_of(4).image)


@pytest.mark.parametrize("hw", [(480, 640), (640, 480), (960, 1280), (300, 300)], ids=str)
def test_a_page_has_the_size_asked_for_and_its_boxes_lie_on_it(hw):
    page = page_of(5, hw)

    assert page.image.shape == (*hw, 3)
    assert page.image.dtype == np.uint8
    assert page.xyxy.dtype == np.float32
    assert page.class_id.dtype == np.int64
    assert page.xyxy.min() >= 0
    assert (page.xyxy[:, 2:] <= [hw[1], hw[0]]).all()


def test_a_page_holds_three_to_fourteen_digits():
    counts = [len(page_of(seed).class_id) for seed in range(60)]

    assert min(counts) >= 3
    assert max(counts) <= 14
    assert len(set(counts)) > 5


def test_boxes_of_a_page_do_not_overlap():
    for seed in range(20):
        boxes = page_of(seed).xyxy
        low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
        high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
        shared = (high - low).clip(min=0).prod(axis=2)
        np.fill_diagonal(shared, 0)
        assert shared.max() == 0


def test_digits_have_the_stated_heights():
    heights = np.concatenate([page.xyxy[:, 3] - page.xyxy[:, 1] for page in map(page_of, range(40))])

    assert heights.min() > 0.6 * DIGIT_PX[0]
    assert heights.max() < 1.5 * DIGIT_PX[1]


def test_a_box_holds_ink_that_its_surroundings_lack():
    differences = []
    for seed in range(20):
        page = page_of(seed)
        grey = page.image.mean(axis=2)
        for x0, y0, x1, y1 in page.xyxy.astype(int):
            differences.append(np.median(grey) - grey[y0:y1, x0:x1].min())

    assert np.median(differences) > 60


def test_written_pages_are_named_in_a_truth_file_of_cocos_form(tmp_path):
    truth = json.loads(write_pages(tmp_path / "pages", 3, seed=7).read_text(encoding="utf-8"))

    assert [entry["file_name"] for entry in truth["images"]] == [f"page_{i:05d}.jpg" for i in range(3)]
    assert {(entry["height"], entry["width"]) for entry in truth["images"]} == {(480, 640)}
    assert [c["name"] for c in truth["categories"]] == list(CLASS_NAMES)
    assert [c["id"] for c in truth["categories"]] == list(range(1, 11))
    assert [a["id"] for a in truth["annotations"]] == list(range(1, len(truth["annotations"]) + 1))


def test_the_truth_of_a_written_page_is_the_pages_own(tmp_path):
    truth = json.loads(write_pages(tmp_path, 1, seed=7).read_text(encoding="utf-8"))
    page = page_of([7, 0])

    boxes = np.array([a["bbox"] for a in truth["annotations"]], np.float32)

    np.testing.assert_array_equal(boxes[:, :2], page.xyxy[:, :2])
    np.testing.assert_array_equal(boxes[:, :2] + boxes[:, 2:], page.xyxy[:, 2:])
    assert [a["category_id"] - 1 for a in truth["annotations"]] == page.class_id.tolist()


def test_a_written_page_keeps_its_colours(tmp_path):
    write_pages(tmp_path, 1, seed=7)

    red_green_blue = cv2.imread(str(tmp_path / "page_00000.jpg"))[..., ::-1].mean(axis=(0, 1))

    np.testing.assert_allclose(red_green_blue, page_of([7, 0]).image.mean(axis=(0, 1)), atol=1)


def test_a_longer_run_begins_with_the_pages_of_a_shorter_one(tmp_path):
    write_pages(tmp_path / "short", 2, seed=1)
    write_pages(tmp_path / "long", 4, seed=1)

    for name in ("page_00000.jpg", "page_00001.jpg"):
        assert (tmp_path / "short" / name).read_bytes() == (tmp_path / "long" / name).read_bytes()


def test_importing_pages_loads_neither_opencv_nor_sklearn():
    code = "import sys, nightshift.pages; print({'cv2', 'sklearn'} & set(sys.modules))"

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "set()"
