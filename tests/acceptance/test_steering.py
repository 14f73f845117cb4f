"""Owners change their minds while real workers are at it."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select

from jobstore.schema import JobState, OutcomeState
from jobstore.tables import outcomes
from tests.fixtures.fleet import wait_until

pytestmark = pytest.mark.acceptance


#: Within which owners' orders act on running jobs, by the database's clock.
PROMISE_S = 2.0


@pytest.fixture
def slow_model(tmp_path) -> Path:
    """A model that takes 50 ms for each picture, one after the other."""
    folder = tmp_path / "slow"
    folder.mkdir()
    code = """
        import time

        import numpy as np

        from inference_engine import Detections

        class Slow:
            class_names = ("thing",)

            def __init__(self, folder, *, device="cpu"):
                pass

            def __call__(self, images, *, input_color_format=None):
                time.sleep(0.05 * len(images))
                nothing = np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)
                return [Detections(*nothing, image.shape[:2], self.class_names) for image in images]
        """
    (folder / "model.py").write_text(textwrap.dedent(code))
    names = {"model_id": "slow", "package_id": "slow-python", "model_module": "model.py", "model_class": "Slow"}
    (folder / "model_config.json").write_text(
        json.dumps({"schema_version": 1, "task_type": "object-detection", **names})
    )
    return folder


@pytest.fixture
def slow(fleet, slow_model) -> Callable[..., str]:
    """Submit jobs of the slow model to a worker that may run it."""
    fleet.start_workers(allow_local_code_packages=True, lease_s=60.0)
    return lambda files, **options: fleet.submit(files, model=slow_model, canary_items=0, **options)


def told_at(fleet, job_id, kind) -> float:
    (event,) = [event for event in fleet.store.events(job_id) if event.kind == kind]
    return event.created


def last_label_at(fleet, job_id) -> float:
    labelled = select(func.max(outcomes.c.created)).where(outcomes.c.job_id == job_id, outcomes.c.state == "ok")
    return fleet.store._db.read(lambda db: db.execute(labelled).scalar_one())


def test_a_pause_acts_on_a_running_job_within_two_seconds_and_it_goes_on_to_its_end(fleet, photos, slow):
    job_id = slow(photos(200), shard_size=64)
    fleet.wait_for_some(job_id, 20)

    fleet.producer.pause(job_id)

    wait_until(lambda: is_quiet(fleet), 30, "giving back what was held")
    assert last_label_at(fleet, job_id) - told_at(fleet, job_id, "paused") < PROMISE_S
    assert fleet.store.status(job_id).pending > 0
    fleet.producer.resume(job_id)
    done = fleet.store.status(job_id).done
    wait_until(lambda: fleet.store.status(job_id).done > done, 30, "going on")
    assert fleet.producer.wait(job_id, timeout_s=120).state is JobState.COMPLETED
    fleet.assert_each_item_has_one_outcome(job_id)


def test_a_cancel_ends_a_running_job_at_once_and_frees_its_worker_within_two_seconds(fleet, photos, slow):
    files = photos(400)
    job_id = slow(files, shard_size=100)
    fleet.wait_for_some(job_id, 20)
    late = slow(files[:4], priority=-1)

    fleet.producer.cancel(job_id)

    fleet.producer.wait(late, timeout_s=120)
    cancelled = told_at(fleet, job_id, "cancelled")
    assert last_label_at(fleet, job_id) <= cancelled
    assert fleet.store.status(late).started - cancelled < PROMISE_S
    fleet.assert_each_item_has_one_outcome(job_id)


def test_a_job_that_is_raised_takes_over_from_shards_in_work_within_two_seconds(fleet, photos, slow):
    files = photos(800)
    long = slow(files, shard_size=200)  # ten seconds a shard, and every place of the worker taken
    wait_until(lambda: [queue.leased for queue in fleet.store.fleet.queues()] == [4], 60, "a full worker")
    late = slow(files[:40], shard_size=10)
    fleet.wait_for_some(long, 20)
    assert fleet.store.status(late).started is None

    fleet.producer.reprioritise(late, 5)

    fleet.producer.wait(late, timeout_s=120)
    assert fleet.store.status(late).started - told_at(fleet, late, "reprioritised") < PROMISE_S
    assert not fleet.store.status(long).is_ended
    fleet.producer.cancel(long)
    fleet.assert_each_item_has_one_outcome(long)


def is_quiet(fleet) -> bool:
    return not any(row.leased for row in fleet.store.fleet.queues())


def test_a_running_job_pauses_and_goes_on_where_it_stood(fleet, photos):
    fleet.start_workers()
    job_id = fleet.submit(photos(800), shard_size=16, canary_items=0)
    fleet.wait_for_some(job_id, 50)

    assert fleet.producer.pause(job_id)

    wait_until(lambda: is_quiet(fleet), 10, "giving back what was held")
    stood = fleet.store.status(job_id)
    assert stood.state is JobState.PAUSED
    assert stood.pending > 0
    assert fleet.store.release(32) == []
    assert fleet.producer.resume(job_id)
    assert fleet.producer.wait(job_id, timeout_s=120).state is JobState.COMPLETED
    fleet.assert_each_item_has_one_outcome(job_id)


def test_a_job_that_becomes_urgent_overtakes_the_one_that_runs(fleet, photos):
    fleet.start_workers()
    files = photos(800)
    long = fleet.submit(files, shard_size=16, canary_items=0)
    late = fleet.submit(files[:64], shard_size=16)
    fleet.wait_for_some(long, 50)

    fleet.producer.reprioritise(late, 5)

    fleet.producer.wait(late, timeout_s=120)
    assert not fleet.store.status(long).is_ended
    fleet.producer.cancel(long)
    fleet.assert_each_item_has_one_outcome(long)


def test_a_large_job_of_broken_pictures_is_stopped_before_its_canary_is_over(fleet, photos):
    files = photos(600)
    for file in files:
        file.unlink()
        file.write_bytes(b"no picture at all")
    fleet.start_workers()

    stopped = fleet.producer.wait(fleet.submit(files), timeout_s=120)

    # Thirteen failures of 600 are over 2 %: the canary need not even end.
    assert (stopped.state, stopped.reason) == (JobState.NEEDS_ATTENTION, "failure_rate_exceeded")
    assert stopped.done <= 64
    assert "most of them not_an_image" in stopped.message


def test_a_large_good_job_shows_its_canary_and_goes_on(fleet, photos):
    fleet.start_workers()
    job_id = fleet.submit(photos(600))

    assert fleet.producer.wait(job_id, timeout_s=120).state is JobState.COMPLETED

    report = next(event.details for event in fleet.store.events(job_id) if event.kind == "canary_done")
    assert (report["items"], report["failed_share"], report["empty_share"]) == (64, 0, 0)
    assert report["backend"] is not None
    assert fleet.store.result_count(job_id, states=[OutcomeState.OK]) == 600
    fleet.assert_each_item_has_one_outcome(job_id)
