import dataclasses

import av
import numpy as np
import pytest

from drawing.colours import class_colour
from tests.contract.exports.conftest import write
from tests.fixtures.videos import SIDE_HW, read_number, write_video
from videos.options import Clip

EMPTY = {key: [] for key in ("xyxy", "confidence", "class_id", "class_name")}


@pytest.fixture
def frames(tmp_path, rows):
    """Every second frame of a clip, which lasts longer towards its end, as two items that share it."""
    times = [0, 40, 80, 120, 200, 300, 420, 600]
    path = write_video(tmp_path / "photos" / "clip.mp4", times)
    record = {**rows[0].record, **EMPTY, "image_hw": list(SIDE_HW)}
    return [
        dataclasses.replace(
            rows[0], uri=str(path), idx=20 + (number >= 4), frame=number + 1, timestamp_s=time_ms / 1000, record=record,
            clip=Clip(),
        )
        for number, time_ms in enumerate(times)
        if number % 2 == 0
    ]  # fmt: skip


def decode(path):
    with av.open(str(path)) as container:
        return [(float(frame.time), frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def test_pictures_are_drawn_in_their_full_size_with_their_own_ending(tmp_path, job, rows, decisions):
    import cv2

    summary = write("annotated", job, rows, decisions, tmp_path / "out")

    picture = cv2.imread(str(summary.path / "yard & <co>/0000.jpg"))
    assert picture.shape == (480, 640, 3)
    assert np.abs(picture[150, 8:14].astype(int) - class_colour(0)[::-1]).sum(axis=1).min() < 60
    assert (summary.items, summary.objects) == (6, 12)


def test_frames_become_one_video_that_shows_each_at_its_own_time(tmp_path, job, rows, decisions, frames):
    summary = write("annotated", job, [*rows, *frames], decisions, tmp_path / "out")

    found = decode(summary.path / "clip.mp4")
    assert [read_number(image) for _, image in found] == [0, 2, 4, 6]
    assert [seconds for seconds, _ in found] == pytest.approx([0, 0.08, 0.2, 0.42], abs=1e-3)
    assert (summary.items, summary.problems) == (10, ())


def test_boxes_are_drawn_on_frames(tmp_path, job, rows, decisions, frames):
    box = {"xyxy": [[8, 26, 56, 44]], "confidence": [0.9], "class_id": [1], "class_name": ["dog"]}
    drawn = dataclasses.replace(frames[0], record={**frames[0].record, **box})

    with_box = decode(write("annotated", job, [drawn], decisions, tmp_path / "a").path / "clip.mp4")[0][1]
    without = decode(write("annotated", job, frames[:1], decisions, tmp_path / "b").path / "clip.mp4")[0][1]

    assert np.abs(with_box.astype(int) - without)[40:46, 20:50].max() > 60
    assert np.abs(with_box.astype(int) - without)[:4, :4].max() < 30


def test_a_video_that_is_gone_is_told_and_ends_nothing(tmp_path, job, rows, decisions, frames):
    (tmp_path / "photos" / "clip.mp4").unlink()

    summary = write("annotated", job, [*rows, *frames], decisions, tmp_path / "out")

    assert summary.items == 6
    assert "clip.mp4: the file cannot be read any more" in summary.problems[0]
    assert not (summary.path / "clip.mp4").exists()


def test_a_picture_that_was_replaced_is_told(tmp_path, job, rows, decisions, photos):
    (photos / "gate" / "0001.jpg").write_bytes((photos / "gate" / "0000.jpg").read_bytes()[:100])

    summary = write("annotated", job, rows, decisions, tmp_path / "out")

    assert summary.items == 5
    assert "0001.jpg" in summary.problems[0]
