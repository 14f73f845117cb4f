"""Videos through real worker processes: shared, sampled, turned, of varying rate, and killed in the middle."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from jobstore.schema import JobId, JobSpec, JobState, OutcomeState
from nightshift.pages import load_scans, make_page
from producer.sources import SourceOptions, expand
from tests.fixtures.fleet import DIGITS, Fleet, kill_9, wait_until
from tests.fixtures.videos import turn_video, write_video
from videos.options import VideoOptions

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


def submit(fleet: Fleet, path: Path, options: VideoOptions) -> JobId:
    items = expand([str(path)], SourceOptions(video=options))
    return fleet.producer.submit(JobSpec(model=str(DIGITS), video=options), items)


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
    wait_until(lambda: len(fleet.store.workers()) == 2, 30, "a second worker")

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
