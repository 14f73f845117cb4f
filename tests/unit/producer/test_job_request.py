"""What makes two requests the same job."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from jobstore.aftercare import Output
from producer.job_request import JobRequest
from videos.options import VideoOptions

ASKED = JobRequest(
    sources=("/photos",),
    model="digits",
    params={"confidence": 0.3},
    wishes={},
    hardware=("auto",),
    limit=None,
    video=VideoOptions(),
    rest={"name": "yard", "expires": 1.0},
)


@pytest.mark.parametrize(
    "again",
    [
        pytest.param(replace(ASKED, moment=datetime(2020, 1, 1, tzinfo=UTC)), id="at another time"),
        pytest.param(replace(ASKED, rest={"expires": 2.0, "name": "yard"}), id="with another end"),
        pytest.param(replace(ASKED, output=Output("/labels")), id="to another folder"),
        pytest.param(replace(ASKED, sources=("/photos/../photos",)), id="in other words"),
    ],
)
def test_requests_for_the_same_job_are_known_by_each_other(again: JobRequest) -> None:
    assert again.fingerprint() == ASKED.fingerprint()


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(replace(ASKED, sources=("/other",)), id="source"),
        pytest.param(replace(ASKED, params={"confidence": 0.4}), id="parameter"),
        pytest.param(replace(ASKED, video=VideoOptions(fps=2)), id="frames"),
        pytest.param(replace(ASKED, rest={"name": "gate"}), id="name"),
    ],
)
def test_requests_for_other_jobs_are_not(other: JobRequest) -> None:
    assert other.fingerprint() != ASKED.fingerprint()
