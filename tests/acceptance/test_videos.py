"""Videos through real worker processes: shared, sampled, turned, of varying rate, and killed in the middle."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from inference_engine import AutoModel
from inference_engine.tasks import read_prediction
from jobstore.schema import JobId, JobSpec, JobState, OutcomeState
from nightshift.pages import load_scans, make_page
from producer.sources import SourceOptions, expand
from tests.fixtures.fleet import DIGITS, Fleet, kill_9, wait_until
from tests.fixtures.hf_zoo import write_zoo_model
from tests.fixtures.hf_zoo_moves import CLIPS
from tests.fixtures.videos import turn_video, write_video
from videos.options import VideoOptions
from videos.reading import Video

pytestmark = pytest.mark.acceptance

EVEN_MS = range(0, 6000, 50)
UNEVEN_MS = np.cumsum([0, *np.random.default_rng(5).integers(10, 90, 119)]).tolist()
SIDES_HW = (240, 320)
SAMPLINGS = {
    "every frame": VideoOptions(),
    "two a second": VideoOptions(fps=2),
    "keyframes": VideoOptions(keyframes=True),
    "one of seven": VideoOptions(every=7),
    "a range": VideoOptions(fps=5, start_s=1.2, end_s=4.3),
}


@cache
def page(number: int, hw: tuple[int, int]) -> np.ndarray:
    return make_page(load_scans("held_out"), np.random.default_rng([7, number]), hw).image


def draw_page(number: int, hw: tuple[int, int] = SIDES_HW) -> np.ndarray:
    """A page of digits; a dozen of them follow each other again and again."""
    return page(number % 12, hw)


@pytest.fixture(scope="module")
def forms(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("forms")
    return {
        "even": write_video(folder / "even.mp4", EVEN_MS, draw=draw_page, b_frames=2, group=25),
        "uneven, turned": turn_video(
            write_video(folder / "uneven.mp4", UNEVEN_MS, draw=draw_page, b_frames=2), 0, 1, -1, 0
        ),
    }


def submit(fleet: Fleet, path: Path, options: VideoOptions, model: Path = DIGITS) -> JobId:
    items = expand([str(path)], SourceOptions(video=options))
    return fleet.producer.submit(JobSpec(model=str(model), video=options), items)


def labelled(fleet: Fleet, job_id: JobId) -> list[tuple[int, float | None, dict[str, object]]]:
    """Frames of an ended job with their records, each frame once, in order."""
    assert fleet.producer.wait(job_id, timeout_s=120).state is JobState.COMPLETED
    rows = [row for row in fleet.store.results(job_id) if row.frame]
    assert all(row.state is OutcomeState.OK for row in rows)
    assert len({row.frame for row in rows}) == len(rows) == fleet.store.status(job_id).frames
    return sorted((row.frame, row.timestamp_s, row.record) for row in rows)


@pytest.mark.parametrize("form", ["even", "uneven, turned"])
def test_two_workers_that_share_a_video_find_what_one_finds(fleet, forms, form) -> None:
    fleet.start_workers(concurrency=1)
    wholes = {name: submit(fleet, forms[form], options) for name, options in SAMPLINGS.items()}
    alone = {name: labelled(fleet, job_id) for name, job_id in wholes.items()}
    fleet.start_workers(concurrency=1)
    wait_until(lambda: len(fleet.store.fleet.workers()) == 2, 30, "a second worker")

    parts = {
        name: submit(fleet, forms[form], VideoOptions(**{**options.record(), "segment_s": 0.5}))
        for name, options in SAMPLINGS.items()
    }

    assert {name: labelled(fleet, job_id) for name, job_id in parts.items()} == alone
    assert fleet.store.status(parts["every frame"]).total > 10
    assert len({row.worker_id for job_id in parts.values() for row in fleet.store.decisions(job_id)}) == 2


def test_the_frames_of_a_turned_video_of_varying_rate_have_its_own_times_and_upright_boxes(fleet, forms) -> None:
    fleet.start_workers()

    found = labelled(fleet, submit(fleet, forms["uneven, turned"], VideoOptions()))

    assert [frame for frame, _, _ in found] == list(range(1, 121))
    assert [time for _, time, _ in found] == pytest.approx([each / 1000 for each in UNEVEN_MS], abs=1e-3)
    assert {tuple(record["image_hw"]) for _, _, record in found} == {SIDES_HW[::-1]}


def test_kill_9_in_the_middle_of_a_segment_loses_and_doubles_no_frame(fleet, tmp_path) -> None:
    large = write_video(tmp_path / "a.mp4", range(0, 12_000, 40), draw=lambda number: draw_page(number, (480, 640)))
    launcher = fleet.start_workers()
    options = VideoOptions(segment_s=6)
    undisturbed = labelled(fleet, submit(fleet, large, options))

    job_id = submit(fleet, large, options)
    wait_until(lambda: fleet.store.status(job_id).frames, 60, "the first frames")
    kill_9(launcher.pids[0])
    assert fleet.store.status(job_id).done < 2

    assert labelled(fleet, job_id) == undisturbed
    assert [frame for frame, _, _ in undisturbed] == list(range(1, 301))
    assert {row.attempt for row in fleet.store.results(job_id)} > {1}


SLIDING = VideoOptions(track=True)


def draw_sliding(number: int) -> np.ndarray:
    """One page that slides to the left, three pixels a frame."""
    return np.ascontiguousarray(np.roll(page(0, (480, 640)), -3 * number, axis=1))


def test_tracks_are_the_same_with_one_worker_with_two_and_after_kill_9(fleet, tmp_path) -> None:
    video = write_video(tmp_path / "a.mp4", range(0, 4000, 40), draw=draw_sliding, b_frames=2)
    launcher = fleet.start_workers()
    alone = labelled(fleet, submit(fleet, video, SLIDING))

    killed = submit(fleet, video, SLIDING)
    wait_until(lambda: fleet.store.status(killed).frames, 60, "the first frames")
    kill_9(launcher.pids[0])
    assert fleet.store.status(killed).done == 0
    fleet.start_workers()
    jobs = [killed, *(submit(fleet, video, SLIDING) for _ in range(2))]

    assert all(labelled(fleet, job_id) == alone for job_id in jobs)
    assert {row.attempt for row in fleet.store.results(killed)} > {1}
    lengths = Counter(number for _, _, record in alone for number in record["track_id"] if number is not None)
    assert max(lengths.values()) > 30


CLOCK = """
import numpy as np
from inference_engine.tasks.classification import ClassificationPrediction

class Watcher:
    class_names = ("dark", "bright")
    clip_frames = 5

    def __init__(self, folder, *, device):
        pass

    def classify_clips(self, clips, *, input_color_format=None, confidence=0.0):
        return [self.judged(np.stack(clip), confidence) for clip in clips]

    def judged(self, clip, confidence):
        share = clip.mean() / 255
        name, score = int(share > 0.5), max(share, 1 - share)
        kept = [name] if score >= confidence else []
        scores = np.array([score] * len(kept), np.float32)
        return ClassificationPrediction(np.array(kept, np.int64), scores, clip.shape[1:3], self.class_names)
"""


@pytest.fixture
def watcher(tmp_path) -> Path:
    """A package with code of its own that says whether a clip is dark or bright."""
    folder = tmp_path / "watcher"
    folder.mkdir()
    (folder / "model.py").write_text(CLOCK)
    names = {"model_id": "watcher", "package_id": "watcher-python", "task_type": "video-classification"}
    code = {"model_module": "model.py", "model_class": "Watcher"}
    (folder / "model_config.json").write_text(json.dumps({"schema_version": 1, **names, **code}))
    (folder / "class_names.txt").write_text("dark\nbright\n")
    return folder


def test_a_custom_model_of_clips_gives_spans_of_actions(fleet, tmp_path, watcher) -> None:
    shades = [20] * 40 + [240] * 30 + [20] * 30
    video = write_video(
        tmp_path / "a.mp4", range(0, 4000, 40), draw=lambda number: np.full((48, 64, 3), shades[number], np.uint8)
    )
    fleet.start_workers(allow_local_code_packages=True)

    job_id = submit(fleet, video, VideoOptions(), watcher)
    found = labelled(fleet, job_id)

    assert [frame for frame, _, _ in found] == list(range(1, 101, 5))
    (own,) = [row.record for row in fleet.store.results(job_id) if not row.frame]
    spans = read_prediction(own["actions"], fleet.store.status(job_id).class_names)
    assert spans.names == ["dark", "bright", "dark"]
    assert spans.seconds == pytest.approx(np.array([[0, 1.6], [1.6, 2.8], [2.8, 4.0]]))


@pytest.mark.parametrize("name", list(CLIPS))
def test_a_hugging_face_model_of_clips_says_in_a_job_what_it_says_when_called(fleet, tmp_path, name) -> None:
    write_zoo_model(tmp_path / name, CLIPS[name], name)
    video = write_video(tmp_path / "a.mp4", range(0, 960, 40))  # 24 frames
    with video.open("rb") as file, Video(file) as opened:
        images = [frame.image for frame in opened.frames(opened.timeline(), range(24))]
    model = AutoModel.from_pretrained(str(tmp_path / name))
    size = model.clip_frames
    clips = [images[start : start + size] for start in range(0, 24, size)]
    expected = [model.classify_clips([clip], input_color_format="rgb")[0] for clip in clips]
    model.close()
    fleet.start_workers()

    job_id = submit(fleet, video, VideoOptions(), tmp_path / name)
    found = labelled(fleet, job_id)

    assert [frame for frame, _, _ in found] == list(range(1, 25, size))
    assert [record["class_id"] for _, _, record in found] == [each.class_id.tolist() for each in expected]
    scores = [record["confidence"] for _, _, record in found]
    np.testing.assert_allclose(scores, [each.confidence for each in expected], atol=1e-5)
    (own,) = [row.record for row in fleet.store.results(job_id) if not row.frame]
    assert own["actions"]["times_s"][0][0] == 0
    assert own["actions"]["times_s"][-1][1] == pytest.approx(0.96)
