"""A folder that is labelled every night costs what is new in it."""

from __future__ import annotations

import pytest

from jobstore.schema import JobState, OutcomeState
from nightshift.pages import write_pages
from tests.fixtures.fleet import wait_until

pytestmark = pytest.mark.acceptance


def items_run(fleet) -> int:
    """Items that the models of all processes have run, by their own counts."""
    return sum(figures["items"] for worker in fleet.store.fleet.workers() for figures in worker.stats.values())


def outcome_of(job):
    return job.state, job.ok, job.cached


def test_a_second_night_runs_only_the_three_photos_that_are_new(fleet, pages, tmp_path):
    fleet.start_workers()
    first = fleet.producer.wait(fleet.submit(pages, use_cache=True), timeout_s=120)
    assert outcome_of(first) == (JobState.COMPLETED, 40, 0)
    write_pages(tmp_path / "new", 3, seed=77)
    new = sorted((tmp_path / "new").glob("*.jpg"))

    second = fleet.submit([*pages, *new], use_cache=True)

    assert outcome_of(fleet.producer.wait(second, timeout_s=120)) == (JobState.COMPLETED, 3, 40)
    fleet.assert_each_item_has_one_outcome(second)
    wait_until(lambda: items_run(fleet) == 43, what="a worker's report of what it ran")
    ran = [row.uri for row in fleet.store.results(second, states=[OutcomeState.OK])]
    assert ran == [str(file) for file in new]
    records = [{row.uri: row.record for row in fleet.store.results(job)} for job in (first.job_id, second)]
    assert {uri: records[1][uri] for uri in records[0]} == records[0]
    assert {row.decision_id is None for row in fleet.store.results(second)} == {False}


def test_a_photo_that_failed_runs_again_in_its_job_once_it_is_whole(fleet, pages, tmp_path):
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(pages[0].read_bytes()[:300])
    fleet.start_workers()
    job_id = fleet.submit([photo, *pages[1:4]])
    assert fleet.producer.wait(job_id, timeout_s=120).failed == 1
    photo.write_bytes(pages[0].read_bytes())

    assert fleet.producer.retry(job_id) == 1

    assert outcome_of(fleet.producer.wait(job_id, timeout_s=120)) == (JobState.COMPLETED, 4, 0)
    fleet.assert_each_item_has_one_outcome(job_id)
