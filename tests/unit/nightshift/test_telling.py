"""What people are told: progress, summaries, tables."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from jobstore.schema import JobId, JobState
from jobstore.views import FailureGroup, JobEvent, JobStatus
from nightshift.cli.output import clock, count, duration, plain, print_rows
from nightshift.cli.progress import words
from nightshift.cli.summary import canary_line, done_line, exit_status, failure_lines, record
from producer.ending import ending_lines, short
from producer.progress import WINDOW_S, Pace


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
        ({"state": JobState.EXPIRED}, 1),
        ({"state": JobState.NEEDS_ATTENTION}, 3),
        ({"state": JobState.COMPLETED_WITH_ERRORS, "max_failures": 1}, 3),
    ],
    ids=[
        "completed",
        "a few errors",
        "over the limit",
        "no backend",
        "failed",
        "cancelled",
        "expired",
        "attention",
        "over the number",
    ],
)
def test_the_exit_status_says_how_the_job_ended(changes, expected):
    assert exit_status(a_status(**changes)) == expected


def test_a_job_over_its_limit_says_share_and_limit():
    lines = ending_lines(a_status(ok=1101, failed=100))

    assert lines is not None
    assert "8.3%; the limit is 2.0%" in lines[1]


def test_a_job_that_ended_well_has_no_error_lines():
    assert ending_lines(a_status()) is None


def test_a_stopped_job_says_why_and_how_to_go_on():
    stopped = a_status(state=JobState.NEEDS_ATTENTION, reason="too_many_failures", message="9 items failed, 2 may")

    assert ending_lines(stopped) == (
        "the job needs attention: too_many_failures", "9 items failed, 2 may", "nightshift resume befc55     goes on",
    )  # fmt: skip


def test_a_paused_job_and_a_canary_say_so_instead_of_an_empty_bar():
    paused = a_status(state=JobState.PAUSED, ok=100, failed=0, finished=None)
    canary = a_status(state=JobState.CANARY, ok=8, failed=0, finished=None, canary_items=64)

    assert words(paused, Pace()) == "100/1,201  paused: nightshift resume befc55 goes on"
    assert words(canary, Pace()).startswith("canary of 64  8/1,201")


def test_a_canary_is_told_in_a_line():
    report = {
        "items": 64, "items_per_second": 38.2, "eta_low_s": 60.0, "eta_high_s": 600.0, "failed_share": 0.0156,
        "empty_share": 0.25, "memory_bytes": 512 * 2**20, "backend": "onnx", "quantization": "fp32", "device": "cpu",
        "workers": 1,
    }  # fmt: skip

    assert canary_line([JobEvent(JobId("j"), "started", 1.0, {})]) is None
    assert canary_line([JobEvent(JobId("j"), "canary_done", 1.0, report)]) == (
        "64 images at 38.2 img/s, the rest in 60.0 s to 10 min 00 s, 1.6% failed, 25% without any object, 512 MiB, "
        "onnx fp32 on cpu"
    )


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
    assert plain(FailureGroup("c", 1, ("x",), "m")) == {
        "code": "c",
        "count": 1,
        "examples": ["x"],
        "message": "m",
        "indices": [],
    }
