"""Owners change their minds while real workers are at it."""

from __future__ import annotations

import pytest

from jobstore.schema import JobState, OutcomeState
from tests.fixtures.fleet import wait_until

pytestmark = pytest.mark.acceptance


def is_quiet(fleet) -> bool:
    return not any(row.leased for row in fleet.store.queues())


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
