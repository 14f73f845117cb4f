"""What people are told: progress, summaries, tables."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from jobstore.schema import FailureGroup, JobId, JobState, JobStatus
from nightshift.cli.output import clock, count, duration, plain, print_rows
from nightshift.cli.progress import WINDOW_S, Pace, words
from nightshift.cli.summary import done_line, ending_lines, exit_status, failure_lines, record, short


def a_status(**changes) -> JobStatus:
    fields = {
        "job_id": JobId("01a1fc50-05cc-7e18-8969-3a29f7befc55"), "tenant": "default", "name": "yard", "model": "digits",
        "task": "object-detection", "state": JobState.COMPLETED, "reason": None, "message": None,
        "total": 1201, "ok": 1199, "cached": 0, "failed": 2, "skipped": 0, "objects": 8417, "priority": 0,
        "max_failure_rate": 0.02, "hardware": ("cpu",),
        "params": {}, "wishes": {}, "tags": {}, "class_names": ("a",), "model_digest": "d", "created": 100.0,
        "started": 101.0, "finished": 132.6, "now": 140.0,
    }  # fmt: skip
    return JobStatus(**{**fields, **changes})


def test_the_done_line_has_counts_time_rate_objects_and_failures():
    assert done_line(a_status()) == "1,199 of 1,201 labelled in 31.6 s (38.0 img/s), 8,417 objects, 2 failed"


def test_results_of_an_earlier_run_are_counted_as_labelled_and_named():
    line = done_line(a_status(ok=199, cached=1000))

    assert line.startswith("1,199 of 1,201 labelled")
    assert line.endswith("1,000 of them from an earlier run")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 0),
        ({"state": JobState.COMPLETED_WITH_ERRORS}, 0),
        ({"state": JobState.COMPLETED_WITH_ERRORS, "ok": 1101, "failed": 100}, 3),
        ({"state": JobState.FAILED, "reason": "no_runnable_backend"}, 5),
        ({"state": JobState.FAILED, "reason": "model_not_found"}, 1),
        ({"state": JobState.CANCELLED}, 1),
    ],
    ids=["completed", "a few errors", "over the limit", "no backend", "failed", "cancelled"],
)
def test_the_exit_status_says_how_the_job_ended(changes, expected):
    assert exit_status(a_status(**changes)) == expected


def test_a_job_over_its_limit_says_share_and_limit():
    lines = ending_lines(a_status(ok=1101, failed=100))

    assert lines is not None
    assert "8.3%; the limit is 2.0%" in lines[1]


def test_a_job_that_ended_well_has_no_error_lines():
    assert ending_lines(a_status()) is None


def test_failures_are_a_line_a_cause_with_examples_and_the_first_message():
    groups = [
        FailureGroup("image_truncated", 5, ("a.jpg", "b.jpg", "c.jpg"), "the file ends early"),
        FailureGroup("not_an_image", 1, ("x.jpg",), "it is text"),
    ]

    assert failure_lines(groups) == [
        "    5  image_truncated  a.jpg, b.jpg, c.jpg and 2 more: the file ends early",
        "    1  not_an_image     x.jpg: it is text",
    ]


def test_a_record_of_a_running_job_has_rate_and_eta():
    running = a_status(state=JobState.RUNNING, ok=598, failed=2, finished=None, now=131.0)

    report = record(running, ())

    assert (report["items_per_second"], report["eta_seconds"]) == (20.0, pytest.approx(601 / 20))


def test_a_short_id_is_the_tail():
    assert short(a_status().job_id) == "befc55"


def test_the_pace_is_counted_from_the_moment_before_the_first_item_was_done():
    pace = Pace()
    for now, done in ((0, 0), (4, 0), (5, 10), (6, 20)):
        pace.add(now, done)

    assert pace.items_per_second == 10.0


def test_the_pace_forgets_what_is_long_ago():
    pace = Pace()
    for second in range(100):
        pace.add(second, second if second < 50 else 50 + 10 * (second - 50))

    assert pace.items_per_second == pytest.approx(10.0)
    assert pace.samples[-1][0] - pace.samples[1][0] <= WINDOW_S


def test_without_progress_there_is_no_eta():
    pace = Pace()
    pace.add(0, 5)
    pace.add(10, 5)

    assert pace.eta_s(100) is None


def test_progress_says_count_share_rate_eta_and_failures():
    pace = Pace()
    pace.add(0, 0)
    pace.add(10, 600)

    running = a_status(state=JobState.RUNNING, ok=598, finished=None)

    assert words(running, pace) == "600/1,201   49%  60.0 img/s  ETA 0:00:10  failed 2"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.04, "0.0 s"), (31.6, "31.6 s"), (243, "4 min 03 s"), (7500, "2 h 05 min")],
)
def test_durations_read_well(seconds, expected):
    assert duration(seconds) == expected


def test_clock_and_count():
    assert (clock(3725), count(1, "image"), count(1204, "image")) == ("1:02:05", "1 image", "1,204 images")


def test_a_pipe_gets_aligned_text():
    import click

    @click.command()
    def table() -> None:
        print_rows(("job", "state"), [("befc55", "running"), ("a", "completed")])

    assert CliRunner().invoke(table).output == "job     state\nbefc55  running\na       completed\n"


def test_dataclasses_become_json_objects():
    assert plain(FailureGroup("c", 1, ("x",), "m")) == {"code": "c", "count": 1, "examples": ["x"], "message": "m"}
