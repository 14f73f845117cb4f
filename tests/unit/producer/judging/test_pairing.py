"""The pictures of two jobs, two by two, and what became of them in all."""

from __future__ import annotations

import dataclasses
import json
import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobstore.schema import OutcomeState
from producer.errors import NotComparable
from producer.judging.comparison import Job, compare, pair_rows
from producer.judging.comparison.overlaps import match
from producer.judging.comparison.report import write_report
from tests.fixtures.judging import HW, NAMES, boxes, row, status
from videos.options import Clip


def names_of(pairs):
    return [tuple(each and f"{each.uri}@{each.frame}" for each in pair) for pair in pairs]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("123", "123", [("1@0", "1@0"), ("2@0", "2@0"), ("3@0", "3@0")]),
        ("123", "312", [("1@0", "1@0"), ("3@0", "3@0"), ("2@0", "2@0")]),
        ("13", "123", [("1@0", "1@0"), ("3@0", "3@0"), (None, "2@0")]),
        ("12", "", [("1@0", None), ("2@0", None)]),
        ("11", "1", [("1@0", "1@0"), ("1@0", None)]),
    ],
    ids=["same order", "other order", "subset", "nothing", "doubled"],
)
def test_rows_are_paired_whatever_their_order(a, b, expected):
    rows_a, rows_b = ([row(idx, uri, boxes()) for idx, uri in enumerate(side)] for side in (a, b))

    assert sorted(names_of(pair_rows(rows_a, rows_b)), key=str) == sorted(expected, key=str)


@given(st.permutations(range(12)), st.sets(st.integers(0, 11)))
def test_every_row_of_either_job_is_in_exactly_one_pair(order, gone):
    rows_a = [row(idx, str(idx), boxes((0, 0.5, 0, 0, idx + 1, 1))) for idx in range(12)]
    rows_b = [dataclasses.replace(rows_a[idx], idx=place) for place, idx in enumerate(order) if idx not in gone]

    pairs = list(pair_rows(rows_a, rows_b))

    assert sorted((a.idx for a, _ in pairs if a), key=int) == list(range(12))
    assert sorted(b.idx for _, b in pairs if b) == sorted(each.idx for each in rows_b)
    assert all(b is None or (a.uri == b.uri and a.record == b.record) for a, b in pairs)


def test_frames_of_a_video_are_paired_and_what_is_said_of_it_as_a_whole_is_not():
    clip = Clip(0.0, None)
    frames = [dataclasses.replace(row(0, "/v.mp4", boxes(), frame=n), clip=clip) for n in (0, 1, 2)]
    skipped = dataclasses.replace(row(1, "/w.mp4", None), state=OutcomeState.SKIPPED)

    assert names_of(pair_rows([*frames, skipped], frames[:2])) == [("/v.mp4@1", "/v.mp4@1"), ("/v.mp4@2", None)]


def hashed(uri, content):
    return dataclasses.replace(row(0, uri, boxes()), content=content)


def test_moved_files_are_paired_by_their_bytes():
    pairs = pair_rows([hashed("/a/1", "x"), hashed("/a/2", "y")], [hashed("/b/9", "y"), hashed("/b/8", "z")])

    assert sorted(names_of(pairs), key=str) == [("/a/1@0", None), ("/a/2@0", "/b/9@0"), (None, "/b/8@0")]


def two_jobs(pairs, **options):
    return compare(Job(status()), Job(status(job_id="0194-job")), pairs, **options)


def test_the_summary_adds_up_what_became_of_each_class():
    rows_a = [
        row(0, "/1", boxes((0, 0.9, 0, 0, 10, 10), (1, 0.6, 50, 50, 70, 70))),
        row(1, "/2", boxes((0, 0.5, 0, 0, 10, 10))),
        row(2, "/3", None),
        row(3, "/4", boxes()),
        row(4, "/5", boxes()),
    ]
    rows_b = [
        row(0, "/1", boxes((0, 0.7, 0, 0, 10, 10), (2, 0.6, 50, 50, 70, 70))),
        row(1, "/2", boxes((1, 0.3, 100, 0, 110, 10))),
        row(2, "/3", boxes()),
        row(3, "/4", boxes()),
        row(4, "/6", boxes()),
    ]

    found, _ = two_jobs(pair_rows(rows_a, rows_b))

    assert (found.pairs, found.same, found.only_a, found.only_b) == (3, 1, 1, 1)
    assert (found.failed_a, found.failed_b, found.failed_both) == (1, 0, 0)
    assert found.counts == {"matched": 1, "flipped": 1, "missing": 1, "new": 1}
    by_name = {each.name: each for each in found.classes}
    cat, dog, bird = (by_name[name] for name in NAMES)
    assert (cat.a, cat.b, cat.matched, cat.missing, cat.new, cat.flipped) == (2, 1, 1, 1, 0, {})
    assert (cat.mean_overlap, cat.mean_score_shift) == (1.0, pytest.approx(-0.2))
    assert (dog.a, dog.b, dog.missing, dog.new, dog.flipped) == (1, 1, 0, 1, {"bird": 1})
    assert (bird.a, bird.b, bird.matched, bird.mean_overlap) == (0, 1, 0, None)
    assert found.disagreement == pytest.approx(((1.2 / 2.8) + 1 + 0) / 3)


def test_the_worst_come_first_and_equal_records_never():
    boxes_of = [boxes((0, 0.5, 0, 0, 10, 10)), boxes((0, 0.5, 0, 0, 10, 8)), boxes((0, 0.5, 50, 0, 60, 10))]
    rows_a = [row(idx, f"/{idx}", boxes_of[0]) for idx in range(3)]
    rows_b = [row(idx, f"/{idx}", record) for idx, record in enumerate(boxes_of)]

    found, worst = two_jobs(pair_rows(rows_a, rows_b))

    assert [item.uri_a for item in found.worst] == ["/2", "/1"]
    assert [(one.uri, other.uri) for one, other in worst] == [("/2", "/2"), ("/1", "/1")]
    only_one, _ = two_jobs(pair_rows(rows_a, rows_b), worst=1)
    assert [item.uri_a for item in only_one.worst] == ["/2"]


def test_one_replaced_picture_costs_one_picture():
    one = [row(0, "/1", boxes()), row(1, "/2", boxes())]
    other = [row(0, "/1", {**boxes(), "image_hw": [1, 1]}), row(1, "/2", boxes())]

    found, _ = two_jobs(pair_rows(one, other))

    assert (found.pairs, found.same, found.not_comparable) == (1, 1, 1)
    assert "the picture was replaced between them" in found.problems[0]
    with pytest.raises(NotComparable, match="replaced between them"):
        two_jobs(pair_rows(one[:1], other[:1]))


def test_jobs_without_a_common_picture_are_refused():
    with pytest.raises(NotComparable, match="no picture in common: 1 only in the first, 1 only in the second"):
        two_jobs(pair_rows([row(0, "/a", boxes())], [row(0, "/b", boxes())]))


def test_greedy_pairs_never_give_up_the_best_one():
    iou = np.array([[0.9, 0.8], [0.8, 0.0]])

    assert match(iou, np.ones((2, 2), bool)) == [(0, 0)]


def test_the_report_shows_pairs_side_by_side_and_gives_tasks_with_both_predictions(tmp_path):
    for name, grey in (("1.png", 90), ("2.png", 160)):
        cv2.imwrite(str(tmp_path / name), np.full((*HW, 3), grey, np.uint8))
    uris = [str(tmp_path / name) for name in ("1.png", "2.png", "gone.png")]
    rows_a = [row(idx, uri, boxes((0, 0.9, 10, 10, 60, 60))) for idx, uri in enumerate(uris)]
    rows_b = [row(idx, uri, boxes((1, 0.8, 10, 10, 60, 60))) for idx, uri in enumerate(uris)]
    found, worst = two_jobs(pair_rows(rows_a, rows_b))

    page = write_report(found, worst, tmp_path / "report")

    pictures = sorted((page.parent / "images").iterdir())
    assert len(pictures) == 2
    picture = cv2.imread(str(pictures[0])).astype(int)
    assert picture.shape == (HW[0], 2 * HW[1] + 8, 3)
    left, right = picture[:, : HW[1]], picture[:, HW[1] + 8 :]
    assert np.abs(left - right).max() > 60  # the boxes have their classes' colours
    assert np.abs(left[70:, 80:] - right[70:, 80:]).max() < 12  # nothing else is drawn
    assert "no picture" in page.read_text()
    tasks = json.loads((page.parent / "label-studio.json").read_text())
    assert [each["model_version"] for each in tasks[0]["predictions"]] == ["a: 0193-job", "b: 0194-job"]
    value = tasks[0]["predictions"][1]["result"][0]["value"]
    assert value == {"x": 5.0, "y": 10.0, "width": 25.0, "height": 50.0, "rotation": 0.0, "rectanglelabels": ["dog"]}
    assert json.loads((page.parent / "report.json").read_text())["counts"]["flipped"] == 3


def wide(idx, uri):
    """A row of 10 kB of text."""
    return row(idx, uri, boxes((0, 0.5, 0, 0, 10, 10)) | {"note": f"{idx:010}" * 1000})


@pytest.mark.parametrize("order", [1, -1], ids=["the same order", "the other order"])
def test_memory_does_not_grow_with_the_records_of_a_job(order):
    """2,000 rows are 20 MB; those that wait for their partners lie on disk, but for two spools of 2 MB."""
    rows_a = (wide(idx, f"/{idx}.jpg") for idx in range(2000))
    rows_b = (wide(place, f"/{idx}.jpg") for place, idx in enumerate(range(2000)[::order]))
    tracemalloc.start()
    try:
        pairs = sum(a is not None and b is not None for a, b in pair_rows(rows_a, rows_b))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert pairs == 2000
    assert peak < (8e6 if order < 0 else 1e6)
