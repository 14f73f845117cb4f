"""How far a job is, and the range of its end."""

import pytest

from jobstore.schema import JobId, JobState
from jobstore.views import JobStatus
from producer.progress import Pace, progress_of


def status(**fields):
    given = dict.fromkeys(JobStatus.__dataclass_fields__)
    counts = dict.fromkeys(("ok", "cached", "failed", "skipped", "objects", "frames", "priority"), 0)
    asked = {
        "job_id": JobId("1"),
        "state": JobState.RUNNING,
        "total": 100,
        "created": 0.0,
        "started": 10.0,
        "now": 20.0,
    }
    return JobStatus(**{**given, **counts, **asked, **fields})


def test_nothing_done_says_nothing():
    progress = progress_of(status(started=None))

    assert (progress.items_per_second, progress.eta) == (0.0, None)


def test_one_look_gives_the_mean_and_a_range_around_it():
    progress = progress_of(status(ok=50))

    assert progress.items_per_second == pytest.approx(5.0)
    assert progress.eta.low_s == pytest.approx(10 / (1 + 2 / 50**0.5))
    assert progress.eta.high_s == pytest.approx(10 / (1 - 2 / 50**0.5))


def test_a_job_that_became_slow_ends_between_both_rates():
    pace = Pace()
    for now, done in ((20.0, 49), (25.0, 50), (30.0, 51)):
        pace.add(now, done)

    progress = progress_of(status(ok=51, now=30.0), pace)

    assert progress.items_per_second == pytest.approx(0.2)
    assert progress.eta.low_s < 49 / 2.55 < 49 / 0.2 < progress.eta.high_s


@pytest.mark.parametrize(
    "fields",
    [{"ok": 100, "state": JobState.COMPLETED}, {"ok": 3, "state": JobState.NEEDS_ATTENTION}],
    ids=["ended", "stopped"],
)
def test_a_job_that_does_not_run_has_no_end_to_wait_for(fields):
    assert progress_of(status(**fields)).eta is None
