import dataclasses
import itertools
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest

from drawing.colours import class_colour
from producer.errors import ExportFailed
from producer.exports.formats import previews
from producer.exports.formats.previews.drawing import draw_preview
from producer.exports.pictures import decode
from tests.contract.exports.conftest import dataset_of, write
from tests.fixtures.videos import SIDE_HW, read_number, write_video
from videos.options import Clip

GATE, YARD = "images/gate/0000.jpg", "images/yard & <co>/0000.jpg"


class Page(HTMLParser):
    """Pictures of a page, and every tag it has."""

    def __init__(self, text):
        super().__init__()
        self.pictures, self.tags = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "img":
            self.pictures.append(dict(attrs))


@pytest.fixture
def written(tmp_path, job, rows, decisions):
    return write("previews", job, rows, decisions, tmp_path / "out")


def read_pixels(path):
    import cv2

    return cv2.imread(str(path))


def test_pictures_keep_their_folders_and_show_boxes(written):
    gate, yard = (read_pixels(written.path / name) for name in (GATE, YARD))

    assert gate.shape == (480, 640, 3)
    assert gate.mean() < 100 < yard.mean()
    assert np.abs(gate[150, 8:14].astype(int) - class_colour(0)[::-1]).sum(axis=1).min() < 60


def test_the_page_shows_every_picture_with_words_and_without_scripts(written):
    page = Page((written.path / "index.html").read_text())

    assert len(page.pictures) == 6
    assert all((written.path / unquote(each["src"])).is_file() for each in page.pictures)
    assert page.pictures[0]["alt"] == "gate/0000.jpg: 1 cat, 1 dog"
    assert page.pictures[0]["loading"] == "lazy"
    assert "script" not in page.tags


def test_the_page_lists_failures_and_escapes_every_text(written):
    text = (written.path / "index.html").read_text()

    assert "image_truncated" in text
    assert "found 3 bytes &amp; no more" in text
    assert "yard &lt;cameras&gt;" in text
    assert not re.search(r"<b>|<co>|<cameras>", text)


def test_the_page_asks_nothing_of_the_network_and_knows_light_and_dark(written):
    text = (written.path / "index.html").read_text()

    assert "://" not in text
    assert "prefers-color-scheme: dark" in text


def test_a_picture_that_is_gone_is_listed_and_ends_nothing(tmp_path, job, rows, decisions, photos):
    (photos / "gate" / "0001.jpg").unlink()

    summary = write("previews", job, rows, decisions, tmp_path / "out")

    assert summary.items == 5
    assert len(summary.problems) == 1
    assert "0001.jpg" in (summary.path / "index.html").read_text()


@pytest.mark.parametrize("content", [b"", b"no picture", b"\xff\xd8\xff"])
def test_a_picture_that_is_no_picture_any_more_is_listed(tmp_path, job, rows, decisions, photos, content):
    (photos / "gate" / "0001.jpg").write_bytes(content)

    assert len(write("previews", job, rows, decisions, tmp_path / "out").problems) == 1


def test_a_picture_that_was_replaced_by_another_size_is_listed(tmp_path, job, rows, decisions, photos):
    import cv2

    cv2.imwrite(str(photos / "gate" / "0001.jpg"), np.zeros((10, 10, 3), np.uint8))

    problems = write("previews", job, rows, decisions, tmp_path / "out").problems
    assert "another picture" in problems[0]


@pytest.mark.parametrize(("limit", "expected"), [(1, 1), (2, 2), (4, 4), (6, 6), (100, 6)])
def test_the_limit_takes_pictures_evenly(tmp_path, job, rows, decisions, limit, expected):
    summary = previews.export(dataset_of(job, rows, decisions, previews=limit), tmp_path / "out")

    assert summary.items == expected
    if limit == 2:
        assert {path.parent.name for path in summary.files[1:]} == {"gate", "yard & <co>"}


def test_a_picture_given_twice_is_shown_twice(tmp_path, job, rows, decisions):
    summary = write("previews", job, [rows[0], rows[0]], decisions, tmp_path / "out")

    assert len({path.name for path in summary.files}) == 3


def test_a_folder_that_is_somebodys_own_is_never_replaced(tmp_path, job, rows, decisions):
    (tmp_path / "previews").mkdir()
    (tmp_path / "previews" / "mine.txt").write_text("keep")

    with pytest.raises(ExportFailed, match="no earlier export"):
        write("previews", job, rows, decisions, tmp_path)

    assert (tmp_path / "previews" / "mine.txt").read_text() == "keep"


def test_a_large_picture_is_shrunk_with_its_boxes(tmp_path, rows):
    import cv2

    _, data = cv2.imencode(".png", np.full((1500, 2560, 3), 128, np.uint8))
    record = {**rows[0].record, "image_hw": [1500, 2560], "xyxy": [[200, 1000, 2000, 1400]] * 2}

    assert draw_preview(decode(data.tobytes()), record, None, tmp_path / "a.png") == (750, 1280)

    line = read_pixels(tmp_path / "a.png")[600, 95:106].astype(int)
    assert np.abs(line - class_colour(0)[::-1]).sum(axis=1).min() < 60


@pytest.mark.parametrize(
    ("hw", "drawn"), [((1, 1), (1, 1)), ((5, 2000), (3, 1280)), ((20_000, 1), (1280, 1)), ((16, 16), (16, 16))]
)
def test_odd_pictures_and_boxes_beyond_the_edge_are_drawn(tmp_path, rows, hw, drawn):
    import cv2

    _, data = cv2.imencode(".png", np.zeros((*hw, 3), np.uint8))
    record = {**rows[0].record, "image_hw": list(hw), "xyxy": [[-50, -50, 9000, 9000], [3, 3, 3, 3]]}

    draw_preview(decode(data.tobytes()), record, None, tmp_path / "a.png")

    assert read_pixels(tmp_path / "a.png").shape[:2] == drawn


def test_an_opencv_without_its_own_font_draws_labels_too(tmp_path, rows, photos, monkeypatch):
    import cv2

    monkeypatch.delattr(cv2, "FontFace", raising=False)
    data = (photos / "gate" / "0000.jpg").read_bytes()

    draw_preview(decode(data), {**rows[0].record, "xyxy": [[100, 100, 300, 300]] * 2}, None, tmp_path / "a.png")

    plate = read_pixels(tmp_path / "a.png")[80:98, 102:180].reshape(-1, 3)
    assert len(np.unique(plate, axis=0)) > 5  # strokes on the plate, with smooth edges


def test_a_class_has_one_colour_and_neighbours_differ():
    colours = [class_colour(number) for number in range(80)]

    assert len(set(colours)) == 80
    assert all(np.abs(np.subtract(a, b)).sum() > 100 for a, b in itertools.pairwise(colours))


def test_a_record_of_an_unknown_task_is_shown_as_it_is(tmp_path, job, rows, decisions):
    bare = dataclasses.replace(rows[0], record={"task": "prophecy", "image_hw": [480, 640]})

    assert write("previews", job, [bare], decisions, tmp_path / "out").items == 1


LOOKS = {
    "classification": ({"class_id": [2], "class_name": ["Fußgänger"], "confidence": [0.9]}, (3, 3), class_colour(2)),
    "instance-segmentation": (
        {
            "class_id": [1], "class_name": ["dog"], "confidence": [0.9], "xyxy": [[100, 100, 300, 300]],
            # 100 columns of nothing; below row 100 of the next 200 columns all is mask.
            "masks": [{"size": [480, 640], "counts": None}],
        },
        (200, 200),
        None,
    ),
    "keypoint-detection": (
        {
            "class_id": [0], "class_name": ["cat"], "confidence": [0.9], "xyxy": [[100, 100, 300, 300]],
            "xy": [[[150, 160], [250, 260]]], "key_points_confidence": [[0.9, 0.8]], "key_points": 2,
            "key_points_threshold": 0.5, "skeletons": [{"names": ["nose", "tail"], "edges": [[0, 1]]}],
        },
        (260, 250),
        class_colour(1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("task", LOOKS)
def test_a_job_of_another_task_is_shown_too(tmp_path, job, rows, decisions, task):
    record, (row, column), colour = LOOKS[task]
    if "masks" in record:
        from pycocotools import mask as coco

        dense = np.zeros((480, 640), np.uint8, order="F")
        dense[100:300, 100:300] = 1
        record["masks"][0]["counts"] = coco.encode(dense)["counts"].decode()
        colour = np.asarray(class_colour(1)) * 0.45 + 40 * 0.55
    shown = dataclasses.replace(rows[0], record={"task": task, "image_hw": [480, 640], **record})

    summary = write("previews", job, [shown], decisions, tmp_path / "out")

    assert not summary.problems
    assert summary.objects == len(record.get("xyxy", ()))
    (page,) = Page((summary.path / "index.html").read_text()).pictures
    pixels = read_pixels(summary.path / unquote(page["src"]))
    # JPEG keeps colours of small things at half the resolution.
    assert np.abs(pixels[row, column].astype(int) - np.asarray(colour)[::-1]).max() < 70


def test_a_damaged_record_is_listed_and_the_rest_is_shown(tmp_path, job, rows, decisions):
    broken = dataclasses.replace(rows[0], record={"task": "semantic-segmentation", "image_hw": [480, 640]})

    summary = write("previews", job, [broken, rows[1]], decisions, tmp_path / "out")

    assert summary.items == 1
    assert "the record cannot be drawn" in summary.problems[0]


def test_a_frame_of_a_video_is_drawn_from_the_video(tmp_path, job, rows, decisions):
    import cv2

    path = write_video(tmp_path / "clip.mp4", range(0, 400, 40))
    video = {"uri": str(path), "clip": Clip()}
    record = {
        **rows[0].record,
        "image_hw": list(SIDE_HW),
        **{key: [] for key in ("xyxy", "confidence", "class_id", "class_name")},
    }
    summed = dataclasses.replace(rows[0], record={"task": "video"}, **video)
    frame = dataclasses.replace(rows[0], frame=6, record=record, **video)

    summary = write("previews", job, [summed, frame], decisions, tmp_path / "out")

    drawn = cv2.imread(str(summary.path / "images" / "clip.mp4@6.jpg"))
    assert (summary.items, summary.problems, read_number(drawn)) == (1, (), 5)
