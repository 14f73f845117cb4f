"""The night watch: figures of a run, and what lies too far from the nights before."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from jobstore.schema import OutcomeState
from producer.judging.gates import GateLimits, RunFigures, check, figures_of
from producer.judging.gates.checking import jensen_shannon
from tests.fixtures.judging import HW, boxes, labels, row, status

USUAL = RunFigures("before", 100, 0, 10, 400, {"cat": 300, "dog": 100}, 100, 20.0)


def tonight(**fields):
    return dataclasses.replace(USUAL, job_id="tonight", **fields)


def failing(report):
    return [finding.gate for finding in report.findings if not finding.passed]


def test_figures_count_what_the_rows_hold():
    rows = [
        row(0, "/1", boxes((0, 0.9, 0, 0, 1, 1), (1, 0.8, 0, 0, 1, 1))),
        row(1, "/2", boxes()),
        dataclasses.replace(row(2, "/3", boxes((0, 0.9, 0, 0, 1, 1))), state=OutcomeState.CACHED),
        row(3, "/4", None),
        dataclasses.replace(row(4, "/5", None), state=OutcomeState.SKIPPED),
    ]

    found = figures_of(status(ok=2, failed=1, started=100.0, finished=102.0), rows)

    assert found == RunFigures("0193-job", 3, 1, 1, 3, {"cat": 2, "dog": 1}, 2, 1.5)
    assert (found.empty_rate, found.objects_per_image, found.failed_rate) == (1 / 3, 1.0, 1 / 4)


@pytest.mark.parametrize(
    ("record", "empty", "objects", "classes"),
    [
        (labels((0, 0.6), (1, 0.4)), 0, 2, {"cat": 1}),
        (labels((0, 0.6), (1, 0.6), task="multi-label-classification"), 0, 2, {"cat": 1, "dog": 1}),
        ({"task": "semantic-segmentation", "class_name": ["a", "b"], "pixels": [30, 10]}, None, 0,
         {"a": 0.75, "b": 0.25}),
        ({"task": "depth-estimation", "unit": "metres"}, None, 0, {}),
        ({"task": "text-only-ocr", "text": "  "}, 1, 0, {}),
        ({"task": "vlm", "text": "a cat"}, 0, 1, {}),
    ],
    ids=["best class", "labels", "label map", "depth", "no text", "text"],
)  # fmt: skip
def test_figures_know_what_each_task_calls_an_object(record, empty, objects, classes):
    found = figures_of(status(), [row(0, "/1", {"image_hw": list(HW), **record})])

    assert (found.empty, found.objects, found.classes) == (empty, objects, classes)


def test_a_night_like_the_others_passes_every_gate():
    report = check(tonight(), [USUAL])

    assert report.passed
    assert [finding.gate for finding in report.findings] == [
        "empty_rate", "failed_rate", "objects_per_image", "class_mix", "speed",
    ]  # fmt: skip
    assert report.compared_with == ("before",)


@pytest.mark.parametrize(
    ("night", "gate", "figures"),
    [
        ({"empty": 21}, "empty_rate", (0.21, 0.1, pytest.approx(0.2))),
        ({"failed": 3}, "failed_rate", (3 / 103, 0.0, 0.02)),
        ({"objects": 190}, "objects_per_image", (1.9, 4.0, 2.0)),
        ({"objects": 610}, "objects_per_image", (6.1, 4.0, 6.0)),
        ({"classes": {"cat": 100, "dog": 300}}, "class_mix",
         (pytest.approx(jensenshannon([3, 1], [1, 3], 2)), 0.0, 0.3)),
        ({"images_per_second": 9.9}, "speed", (9.9, 20.0, 10.0)),
    ],
    ids=["more empty", "more failed", "fewer objects", "more objects", "other classes", "slower"],
)  # fmt: skip
def test_each_gate_says_what_was_found_expected_and_allowed(night, gate, figures):
    report = check(tonight(**night), [USUAL])

    assert (report.passed, failing(report)) == (False, [gate])
    finding = next(each for each in report.findings if each.gate == gate)
    assert (finding.found, finding.expected, finding.limit) == figures
    assert finding.message


@pytest.mark.parametrize(
    "night",
    [{"empty": 20}, {"objects": 200}, {"objects": 600}, {"images_per_second": 10.0}, {"images_per_second": 900.0}],
    ids=["empty", "fewer", "more", "slow", "fast"],
)
def test_a_figure_at_its_limit_passes(night):
    assert check(tonight(**night), [USUAL]).passed


def test_limits_can_be_lifted_one_by_one():
    worst = tonight(empty=100, objects=0, failed=50, classes={"bird": 1}, images_per_second=0.1)

    assert len(failing(check(worst, [USUAL]))) == 5
    assert check(worst, [USUAL], GateLimits(None, None, None, None, None)).findings == ()
    assert failing(check(worst, [USUAL], GateLimits(empty_rate_rise=None, speed_share=0.0))) == [
        "failed_rate", "objects_per_image", "class_mix",
    ]  # fmt: skip


def test_what_is_expected_is_the_median_of_the_nights_before():
    nights = [dataclasses.replace(USUAL, job_id=str(n), empty=empty) for n, empty in enumerate((10, 12, 90))]

    assert check(tonight(empty=22), nights).findings[0].expected == 0.12
    assert check(tonight(empty=22), nights).passed


def test_a_small_run_is_neither_judged_nor_judged_by():
    small = dataclasses.replace(USUAL, images=19)

    assert check(tonight(images=19), [USUAL]).note == "the run has 19 pictures; fewer than 20 are not judged"
    assert check(tonight(), [small]).note == "no good run of 20 pictures or more is there to hold it against"
    assert check(tonight(), []).passed


def test_a_run_of_just_enough_pictures_is_judged_and_judged_by():
    enough = dataclasses.replace(USUAL, images=20, computed=20)

    report = check(dataclasses.replace(enough, job_id="tonight"), [enough])

    assert (report.compared_with, len(report.findings)) == (("before",), 5)


def test_a_run_in_which_every_picture_failed_is_judged():
    report = check(tonight(images=0, failed=100, empty=0, objects=0, classes={}, computed=0), [USUAL])

    assert failing(report) == ["failed_rate"]


def test_the_speed_of_a_run_that_took_nearly_all_over_is_not_judged():
    report = check(tonight(computed=3, images_per_second=0.2), [USUAL])

    assert "speed" not in [finding.gate for finding in report.findings]
    assert figures_of(status(ok=0, cached=9), []).images_per_second is None


@given(*[st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 1000), min_size=1)] * 2)
def test_the_class_distance_is_scipys(one, other):
    names = sorted({*one, *other})
    expected = jensenshannon([one.get(n, 0) for n in names], [other.get(n, 0) for n in names], base=2)

    assert jensen_shannon(one, other) == pytest.approx(expected, abs=1e-7)


def test_the_class_distance_of_two_mixes_worked_out_by_hand():
    """Half against all: M = (3/4, 1/4); divergence = 1/2 (1/2 ld(2/3) + 1/2 ld 2) + 1/2 ld(4/3) = 0.3113 bits."""
    assert jensen_shannon({"a": 1, "b": 1}, {"a": 5}) == pytest.approx(0.311278**0.5, abs=1e-6)
    assert jensen_shannon({"a": 1}, {"b": 1}) == 1.0
