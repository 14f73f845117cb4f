"""What follows a video's frames: tracks of boxes, and spans of clips, whoever judges the frames and in which order."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from inference_engine.errors import ProviderUnavailable
from inference_engine.images import Fit
from inference_engine.tasks import read_prediction
from inference_engine.tasks.classification import ClassificationPrediction
from inference_engine.tasks.detection import Detections
from jobstore.schema import JobState, OutcomeState
from jobstore.store import JobStore
from tests.fixtures.video_worker import NumberModel, a_worker, frame_rows, run_all, submit, video_row
from tests.fixtures.videos import SIDE_HW, read_number, write_video
from videos.options import VideoOptions
from workers.shards import process_shard

TIMES_MS = range(0, 4000, 40)
NAMES = ("ball", "cup")
TRACKED = VideoOptions(track=True)


def seen(number):
    """A ball that rolls to the right, and from frame 30 to 79 a cup that stands below it, hidden for five frames."""
    boxes, classes = [[number, 0, number + 20, 20]], [0]
    if 30 <= number < 80 and not 50 <= number < 55:
        boxes, classes = [[5, 30, 25, 45], *boxes], [1, *classes]
    scores = np.linspace(0.9, 0.8, len(boxes), dtype=np.float32)
    return Detections(np.array(boxes, np.float32), scores, np.array(classes), SIDE_HW, NAMES)


def tracker():
    return NumberModel(told=seen)


@pytest.fixture
def store(tmp_path):
    store = JobStore.open(f"sqlite:///{tmp_path}/jobs.db")
    store.create_schema()
    yield store
    store.close()


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("video") / "a.mp4", TIMES_MS, b_frames=2)


def records(store, job_id):
    return [(row.frame, row.record) for row in frame_rows(store, job_id)]


@pytest.fixture
def undisturbed(store, video):
    with a_worker(store, tracker()) as runtime:
        job_id = submit(store, video, TRACKED)
        run_all(runtime)
    return records(store, job_id)


def test_boxes_of_one_object_have_one_number_from_the_second_sighting_on(store, undisturbed):
    found = [dict(zip(record["class_name"], record["track_id"], strict=True)) for _, record in undisturbed]

    assert [each["ball"] for each in found] == [None] + [1] * 99
    cups = {number: each["cup"] for number, each in enumerate(found) if "cup" in each}
    assert {cups.pop(30), *cups.values()} == {None, 2}
    assert set(cups.values()) == {2}


def test_the_videos_own_outcome_counts_its_tracks(store, video):
    job_id = submit(store, video, TRACKED)
    with a_worker(store, tracker()) as runtime:
        run_all(runtime)

    assert video_row(store, job_id).record["tracks"] == 2


def test_a_record_with_tracks_comes_back_whole(undisturbed):
    read = read_prediction(undisturbed[30][1], NAMES)

    assert read.track_id.tolist() == [-1, 1]
    assert read.to_record() == undisturbed[30][1]
    assert read.to_supervision().tracker_id.tolist() == [-1, 1]


@pytest.mark.parametrize("images_a_run", [1, 4])
def test_several_videos_at_once_in_batches_have_the_tracks_of_one_alone(store, video, undisturbed, images_a_run):
    with a_worker(store, tracker(), images_a_run) as one, a_worker(store, tracker()) as two:
        jobs = [submit(store, video, TRACKED) for _ in range(4)]
        with ThreadPoolExecutor(4) as both:
            list(both.map(process_shard, [one, two] * 2, store.release(100)))

    assert all(records(store, job_id) == undisturbed for job_id in jobs)


def test_a_video_that_is_gone_on_with_has_the_tracks_of_one_that_was_not_interrupted(store, video, undisturbed):
    first = tracker()
    job_id = submit(store, video, TRACKED)
    for number in (20, 52):
        with a_worker(store, first) as one:
            first.before = lambda shown, one=one, last=number: one.draining.set() if shown == last else None
            run_all(one)
    written = [frame for frame, _ in records(store, job_id)]
    with a_worker(store, tracker()) as two:
        run_all(two)

    assert written == list(range(1, len(written) + 1))
    assert 20 < len(written) < 100
    assert records(store, job_id) == undisturbed


def test_a_frame_that_is_tried_again_keeps_its_place(store, video, undisturbed):
    model = tracker()

    def refuse_once(number):
        if number in (5, 53) and model.seen.count(number) == 1:
            raise ProviderUnavailable("not now")

    model.before = refuse_once
    job_id = submit(store, video, TRACKED)
    with a_worker(store, model, 4) as runtime:
        run_all(runtime)

    assert records(store, job_id) == undisturbed


def test_a_frame_that_fails_costs_its_neighbours_no_track(store, video):
    model = tracker()

    def refuse_forty(number):
        if number == 40:
            raise ValueError("a poisoned frame")

    model.before = refuse_forty
    job_id = submit(store, video, TRACKED)
    with a_worker(store, model) as runtime:
        run_all(runtime)

    rows = frame_rows(store, job_id)
    assert [row.frame for row in rows if row.state is OutcomeState.FAILED] == [41]
    assert {number for row in rows[31:] if row.record for number in row.record["track_id"]} == {1, 2}


def test_a_frame_that_cannot_be_followed_fails_alone(store, video):
    model = NumberModel(
        told=lambda number: SimpleNamespace(to_record=lambda: {"value": 1}) if number == 7 else seen(number)
    )
    job_id = submit(store, video, TRACKED)
    with a_worker(store, model) as runtime:
        run_all(runtime)

    assert [row.frame for row in frame_rows(store, job_id) if row.error] == [8]
    assert store.status(job_id).state is JobState.COMPLETED


def test_a_model_without_boxes_cannot_be_tracked(store, video):
    model = NumberModel(package=SimpleNamespace(model_id="numbers", task="classification"))
    job_id = submit(store, video, TRACKED)
    with a_worker(store, model) as runtime:
        run_all(runtime)

    status = store.status(job_id)
    assert (status.state, status.reason) == (JobState.FAILED, "parameter_invalid")
    assert "track is for boxes" in status.message


class ClipModel(NumberModel):
    """Of the frames with a number below 42 it says `ball`, then `cup`, and nothing of clips that begin above 90."""

    clip_frames = 8
    class_names = NAMES

    def preprocess(self, images, params):
        numbers = [read_number(image) for image in images]
        self.seen.append(numbers)
        self.before(numbers[0])
        return {"images": np.array([[numbers[0]]], np.float32)}, Fit((1.0, 1.0), (0, 0), images.shape[1:3])

    def postprocess(self, outputs, fits, params):
        return [self.judged(int(row[0])) for row in outputs["out"]]

    def judged(self, number):
        classes = [] if number > 90 else [int(number >= 40)]
        scores = np.array([0.5 + number / 1000] * len(classes), np.float32)
        return ClassificationPrediction(np.array(classes, np.int64), scores, SIDE_HW, NAMES)


EVERY_SECOND = VideoOptions(every=2)  # 50 frames: six clips of eight and one of two


def test_a_model_that_takes_clips_gets_the_labelled_frames_in_eights_the_last_filled_up(store, video):
    model = ClipModel()
    job_id = submit(store, video, EVERY_SECOND)
    with a_worker(store, model) as runtime:
        run_all(runtime)

    wanted = [list(range(start, min(start + 16, 100), 2)) for start in range(0, 100, 16)]
    assert sorted(model.seen) == [each + [98] * (8 - len(each)) for each in wanted]
    spans = [(row.frame, row.record["start_frame"], row.record["end_frame"]) for row in frame_rows(store, job_id)]
    assert spans == [(start + 1, start, min(start + 16, 99)) for start in range(0, 100, 16)]
    assert [row.record["end_s"] for row in frame_rows(store, job_id)][-2:] == pytest.approx([3.84, 3.96])


def test_clips_of_one_action_are_one_span_of_the_video(store, video):
    job_id = submit(store, video, EVERY_SECOND)
    with a_worker(store, ClipModel(), 4) as runtime:
        run_all(runtime)

    record = video_row(store, job_id).record
    counted = {"clips_read": 7, "clips_expected": 7, "clips_failed": 0, "is_partial": False}
    assert record.items() >= counted.items()
    spans = read_prediction(record["actions"], NAMES)
    assert spans.names == ["ball", "cup"]
    assert spans.seconds == pytest.approx(np.array([[0, 1.92], [1.92, 3.84]]))
    assert spans.confidence == pytest.approx([np.mean([0.5, 0.516, 0.532]), np.mean([0.548, 0.564, 0.58])])
    assert spans.to_record() == record["actions"]


def test_a_clip_that_fails_parts_a_span(store, video):
    model = ClipModel()

    def refuse_sixteen(number):
        if number == 16:
            raise ValueError("a poisoned clip")

    model.before = refuse_sixteen
    job_id = submit(store, video, EVERY_SECOND)
    with a_worker(store, model) as runtime:
        run_all(runtime)

    spans = read_prediction(video_row(store, job_id).record["actions"], NAMES)
    assert spans.start_frame.tolist() == [0, 32, 48]
    assert spans.end_frame.tolist() == [16, 48, 96]


def test_spans_of_a_video_that_was_interrupted_are_those_of_one_that_was_not(store, video):
    whole = submit(store, video, VideoOptions())
    with a_worker(store, ClipModel()) as runtime:
        run_all(runtime)
    job_id, first = submit(store, video, VideoOptions()), ClipModel()
    with a_worker(store, first) as one:
        first.before = lambda number: one.draining.set() if number == 56 else None
        run_all(one)
    written, second = len(frame_rows(store, job_id)), ClipModel()
    with a_worker(store, second) as two:
        run_all(two)

    assert 0 < written < 13
    assert len(second.seen) == 13 - written
    assert video_row(store, job_id).record == video_row(store, whole).record
    assert records(store, job_id) == records(store, whole)


@pytest.mark.parametrize("segment_s", [0.3, 0.71, 1.5])
def test_parts_have_together_the_clips_of_the_whole(store, video, segment_s):
    whole = submit(store, video, EVERY_SECOND)
    parts = submit(store, video, VideoOptions(every=2, segment_s=segment_s))
    with a_worker(store, ClipModel()) as runtime:
        run_all(runtime)

    assert store.status(parts).total == math.ceil(4 / segment_s)
    assert store.status(parts).state is JobState.COMPLETED
    assert sorted(records(store, parts)) == records(store, whole)
