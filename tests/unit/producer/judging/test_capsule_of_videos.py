"""Videos in capsules: an input is a part of a video, and its frames are held against each other by their time."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest

from jobstore.schema import OutcomeState
from nightshift.replay import items_of, replay_spec
from producer.judging.capsule import Replay, changed_inputs, choose, read_capsule, verify, write_capsule
from producer.judging.capsule.canonical import canonical
from tests.fixtures.judging import boxes, row, status
from videos.options import Clip, VideoOptions

FRAMES_PER_S = 2
PART = Clip(1.5, None)
OPTIONS = VideoOptions(fps=FRAMES_PER_S, start_s=1.5)


def frame(number, *found, clip=PART):
    """A frame's row; number 0 is what is said of the video as a whole."""
    at = None if not number else clip.start_s + number / FRAMES_PER_S
    plain = row(0, "/v.mp4", boxes(*found) if number else {"frames": 3, "codec": "h264"}, frame=number)
    return dataclasses.replace(plain, clip=clip, timestamp_s=at)


BOX = (0, 0.9, 0, 0, 10, 10)
VIDEO = [frame(0), frame(1, BOX), frame(2, BOX), frame(3)]


@pytest.fixture
def capsule(tmp_path):
    job = status(video=OPTIONS.record())
    return read_capsule(write_capsule(job, [*VIDEO, row(1, "/1.jpg", boxes())], [], tmp_path / "c.json").path)


def replayed(capsule, rows, originals=VIDEO):
    inputs = capsule.inputs[:1]
    return verify(capsule, Replay(status(job_id="again"), [], inputs), rows, {0: originals})


def test_a_video_is_one_input_with_the_results_of_all_its_frames(capsule):
    video, picture = choose(capsule)

    assert (video.clip, picture.clip) == (PART, None)
    assert video.result == hashlib.sha256(b"".join(map(canonical, VIDEO))).hexdigest()


def test_a_replay_asks_for_the_same_frames_of_the_same_part(capsule):
    assert replay_spec(capsule, ("cpu",)).video == OPTIONS
    assert [(item.uri, item.clip) for item in items_of(capsule.inputs)] == [("/v.mp4", PART), ("/1.jpg", None)]


def test_equal_frames_are_counted_one_by_one(capsule):
    found = replayed(capsule, VIDEO, originals=())

    assert (found.verdict, found.run, found.same, found.changes) == ("same", 3, 3, ())


def test_frames_that_differ_are_named_by_their_time(capsule):
    shifted = (0, 0.9, 2, 0, 12, 10)  # IoU 80 / 120
    lost = frame(3, BOX)
    found = replayed(capsule, [VIDEO[0], VIDEO[1], frame(2, shifted), lost])

    assert (found.verdict, found.run, found.same) == ("differs", 3, 1)
    assert [(each.timestamp_s, each.disagreement) for each in found.changes] == [
        (3.0, 1.0),
        (2.5, pytest.approx(1 / 3)),
    ]


def test_a_frame_that_is_numbered_otherwise_is_the_same_frame(capsule):
    again = [VIDEO[0], *(dataclasses.replace(each, frame=each.frame + 7) for each in VIDEO[1:])]

    found = replayed(capsule, again)

    assert [(each.timestamp_s, each.disagreement) for each in found.changes] == [(at, 0.0) for at in (2.0, 2.5, 3.0)]


def test_a_frame_that_is_missing_is_a_change(capsule):
    found = replayed(capsule, VIDEO[:3])

    assert (found.run, found.same) == (3, 2)
    assert [(each.timestamp_s, each.words) for each in found.changes] == [(3.0, "the frame is missing now")]


def test_a_video_that_cannot_be_read_any_more_says_so(capsule):
    failed = dataclasses.replace(row(0, "/v.mp4", None), clip=PART)

    found = replayed(capsule, [failed])

    assert found.verdict == "differs"
    assert [each.words for each in found.changes if each.timestamp_s is None] == ["ok -> image_truncated"]


def test_original_rows_that_are_not_those_of_the_capsule_are_no_measure(capsule):
    later = [VIDEO[0], frame(1), VIDEO[2], VIDEO[3]]

    found = replayed(capsule, later, originals=later)

    assert (found.same, len(found.changes)) == (0, 4)
    assert {each.words for each in found.changes} == {"another result; the original's record is not in this store"}


def test_the_bytes_of_a_video_are_read_once_for_all_its_parts(tmp_path):
    parts = [
        dataclasses.replace(frame(0, clip=Clip(start, start + 1)), idx=idx, state=OutcomeState.OK)
        for idx, start in enumerate((0.0, 1.0, 2.0))
    ]
    read = read_capsule(write_capsule(status(), parts, [], tmp_path / "c.json").path)
    asked = []
    hashed = [dataclasses.replace(each, sha256="ab") for each in read.inputs]

    changed_inputs(hashed, lambda uri: asked.append(uri) or "ab")

    assert (len(read.inputs), asked) == (3, ["/v.mp4"])
