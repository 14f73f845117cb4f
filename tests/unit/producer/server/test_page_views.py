"""What pages show, made of rows without a server."""

from __future__ import annotations

import shlex
from dataclasses import replace

import click
import numpy as np
import pycocotools.mask
import pytest

from jobstore.glances import Pace, StageTimes, sampled
from jobstore.schema import JobState, OutcomeState
from jobstore.submit import usual_name
from producer.gateway import Basis, MeantMachine
from producer.judging.gates import GateLimits
from producer.server.pages import words
from producer.server.pages.views.decisions import choices_of
from producer.server.pages.views.gallery import MOST_ROWS, PICTURES, gallery_of
from producer.server.pages.views.models import model_lines
from producer.server.pages.views.overlay import Filter, overlay_of
from producer.server.pages.views.progress import progress_of
from producer.server.pages.views.recipe import command_of, source_of
from producer.server.pages.views.stages import slowness_of
from tests.fixtures.judging import boxes, labels, row, status
from videos.options import VideoOptions

RUNNING = {
    "state": JobState.RUNNING,
    "finished": None,
    "total": 100,
    "ok": 30,
    "cached": 5,
    "failed": 5,
    "started": 0.0,
}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (words.percent(0, 10), "0 %"), (words.percent(1, 1000), "<1 %"), (words.percent(999, 1000), "99 %"),
        (words.percent(3, 3), "100 %"), (words.percent(0, 0), "0 %"), (words.duration(0), "0 s"),
        (words.duration(4.25), "4.2 s"), (words.duration(65), "1 min 05 s"), (words.duration(1200), "20 min"),
        (words.duration(7500), "2 h 05 min"), (words.duration(90_000), "1 d 1 h"), (words.span(9, 9.01), "9.0 s"),
        (words.rate(None), "-"), (words.rate(3.21), "3.2 img/s"), (words.rate(1234.5), "1234 img/s"),
        (words.size(512), "512 B"), (words.size(1536), "1.5 KiB"), (words.size(139 << 30), "139 GiB"),
        (words.file_name("s3://bucket/a/b.jpg"), "b.jpg"), (words.tone("no such word"), "idle"),
    ],
)  # fmt: skip
def test_figures_read_as_people_write_them(value, expected):
    assert value == expected


def test_the_parts_of_the_bar_are_the_books_and_fill_it():
    progress = progress_of(status(**RUNNING, now=10.0))

    assert [(part.name, part.count) for part in progress.parts] == [
        ("ok", 30), ("cached", 5), ("failed", 5), ("left", 60)
    ]  # fmt: skip
    assert sum(part.share for part in progress.parts) == pytest.approx(100)
    assert progress.parts[-1].start + progress.parts[-1].share == pytest.approx(100)
    assert progress.sentence == "40 % of 100 items: 30 ok, 5 cached, 5 failed, 60 left"


def test_the_estimate_spans_what_now_and_the_mean_say():
    assert progress_of(status(**RUNNING, now=10.0), Pace(10.0, 2, 1)).eta == "4.6 s to 22 s"
    assert progress_of(status()).eta is None


@pytest.mark.parametrize(
    ("state", "acts"),
    [
        (JobState.RUNNING, ("pause", "priority", "cancel")), (JobState.PAUSED, ("resume", "priority", "cancel")),
        (JobState.NEEDS_ATTENTION, ("resume", "priority", "cancel")), (JobState.DRAFT, ("priority", "cancel")),
        (JobState.COMPLETED, ()), (JobState.FAILED, ()),
    ],
)  # fmt: skip
def test_only_what_a_state_allows_is_offered(state, acts):
    assert progress_of(status(state=state)).acts == acts


def test_the_slowest_stage_has_a_name_and_all_are_in_the_order_of_the_work():
    slow = slowness_of(StageTimes(3, {"forward": 6.0, "fetch": 1.0, "decode": 2.0}), store_ms=1.0)

    assert [stage.name for stage in slow.stages] == ["fetch", "decode", "forward", "store"]
    assert slow.slowest == "forward"
    assert [stage.share for stage in slow.stages] == [10, 20, 60, 10]
    assert slowness_of(StageTimes(0, {}), None) is None


@pytest.mark.parametrize("total", [0, 1, 63, 64, 65, 1_000_000])
def test_the_sample_is_spread_over_all_items(total):
    indices = sampled(total)

    assert len(set(indices)) == len(indices) == min(total, 64)
    assert all(0 <= index < total for index in indices)
    if total == 1_000_000:
        assert np.ptp(np.diff(indices)) <= 1


def test_a_candidate_without_reasons_says_why_it_was_taken_or_not():
    chosen, second, rejected = choices_of(
        [
            {"package_id": "p", "backend": "onnx", "device": "cpu", "quantization": "fp32", "verdict": "chosen"},
            {"package_id": "p", "backend": "openvino", "verdict": "runnable", "measurement": {"images_per_s": 31.5}},
            {"package_id": "q", "verdict": "rejected", "reasons": [{"code": "not_installed", "message": "no torch"}]},
        ]
    )

    assert chosen.reasons == (("", "comes first of those that run here", ""),)
    assert second.reasons[0][1].startswith("runs here too")
    assert second.images_per_second == 31.5
    assert rejected.reasons == (("not_installed", "no torch", ""),)
    assert rejected.backend == "-"


def test_a_model_that_runs_nowhere_says_why_and_a_defect_is_no_verdict():
    class Missing(Exception):
        code = "model_not_found"

    def explain(model, machine):
        if machine.hardware == "gpu":
            raise Missing("no such model")
        return [{"package_id": "p", "verdict": "rejected", "reasons": [{"code": "c", "message": "too old"}]}]

    machines = {name: MeantMachine(Basis.LIVE, name) for name in ("cpu", "gpu")}
    (line,) = model_lines([{"model": "m", "task": None, "packages": ("p",)}], machines, explain)

    assert [(verdict.chosen, verdict.why) for verdict in line.verdicts] == [(None, "too old"), (None, "no such model")]
    with pytest.raises(ZeroDivisionError):
        model_lines([{"model": "m"}], machines, lambda *_: 1 // 0)


def test_shapes_lie_in_the_pictures_own_pixels_and_the_surest_on_top():
    overlay = overlay_of(boxes((0, 0.9, 10, 20, 30, 40), (1, 0.4, 150, 5, 199, 60)), Filter(0.5))

    assert (overlay.width, overlay.height) == (200, 100)
    assert [(shape.class_name, shape.is_hidden) for shape in overlay.shapes] == [("dog", True), ("cat", False)]
    assert overlay.shapes[1].path == "M10.0 20.0L30.0 20.0L30.0 40.0L10.0 40.0Z"
    assert overlay.shapes[0].label.x + overlay.shapes[0].label.width <= 200
    assert overlay.shown == 1


def test_a_filter_by_class_hides_the_others():
    overlay = overlay_of(boxes((0, 0.9, 1, 2, 3, 4), (1, 0.4, 5, 6, 7, 8)), Filter(0.0, "dog"))

    assert [shape.class_name for shape in overlay.shapes if not shape.is_hidden] == ["dog"]


def test_masks_become_outlines_with_their_holes():
    mask = np.zeros((100, 200), np.uint8, order="F")
    mask[10:60, 20:120] = 1
    mask[20:40, 40:80] = 0
    counts = pycocotools.mask.encode(mask)["counts"].decode("ascii")
    record = boxes((0, 0.9, 20, 10, 120, 60)) | {"masks": [{"size": [100, 200], "counts": counts}]}

    (shape,) = overlay_of(record, Filter()).shapes

    assert shape.area.count("M") == 2
    assert overlay_of(record, Filter(), with_masks=False).shapes[0].area == ""
    assert "item's own page" in overlay_of(record, Filter(), with_masks=False).problem


def test_key_points_show_only_where_they_are_sure():
    record = boxes((0, 0.9, 0, 0, 50, 50)) | {
        "xy": [[[1, 2], [30, 40], [5, 6]]], "key_points_confidence": [[0.9, 0.8, 0.1]], "key_points_threshold": 0.5,
        "skeletons": [{"names": ["a", "b", "c"], "edges": [[0, 1], [1, 2]]}],
    }  # fmt: skip

    (shape,) = overlay_of(record, Filter()).shapes

    assert shape.points == ((1, 2), (30, 40))
    assert shape.lines == "M1.0 2.0L30.0 40.0"


@pytest.mark.parametrize(
    "damaged",
    [{}, {"image_hw": [1]}, boxes((0, 0.9, 1, 2, 3, 4)) | {"xyxy": [[1]]},
     boxes((0, 0.9, 1, 2, 3, 4)) | {"masks": [{"size": [4, 4], "counts": "!!"}]}],
    ids=["empty", "no size", "half a box", "no mask"],
)  # fmt: skip
def test_a_damaged_record_draws_nothing_and_says_so(damaged):
    overlay = overlay_of(damaged, Filter())

    assert overlay.shapes == ()
    assert "cannot be drawn" in overlay.problem


def test_classes_of_a_whole_picture_are_words():
    assert overlay_of(labels((0, 0.93), (2, 0.05)), Filter()).words == ("cat 0.93", "bird 0.05")


class Rows:
    """Pages of rows as the store gives them; counts what was read."""

    def __init__(self, rows):
        self.rows, self.read = rows, 0

    def __call__(self, place, limit):
        found = [each for each in self.rows if (each.idx, each.frame) > place][:limit]
        self.read += len(found)
        return found


def is_local(row):
    return row.uri.startswith("/")


def test_the_gallery_ends_with_its_last_picture_and_goes_on_where_it_stopped():
    rows = Rows([row(n, f"/p/{n}.jpg", boxes((0, 0.9, 1, 2, 3, 4))) for n in range(PICTURES + 6)])

    first = gallery_of(rows, (-1, 0), Filter(), is_local)
    second = gallery_of(rows, first.next, Filter(), is_local)

    assert [figure.idx for figure in (*first.figures, *second.figures)] == list(range(PICTURES + 6))
    assert second.next is None


def test_a_gallery_of_a_rare_class_reads_a_bounded_number_of_rows():
    rows = Rows([row(n, f"/p/{n}.jpg", boxes((n == 900, 0.9, 1, 2, 3, 4))) for n in range(1000)])

    gallery = gallery_of(rows, (-1, 0), Filter(0.0, "dog"), is_local)

    assert gallery.figures == ()
    assert rows.read == gallery.rows == MOST_ROWS
    assert gallery.next == (MOST_ROWS - 1, 0)


def test_what_failed_is_no_picture_and_what_lies_elsewhere_is_told_apart():
    rows = Rows([row(0, "/p/0.jpg", None), row(1, "s3://b/1.jpg", boxes()), row(2, "/p/2.jpg", boxes())])

    gallery = gallery_of(rows, (-1, 0), Filter(), is_local)

    assert [(figure.idx, figure.is_shown) for figure in gallery.figures] == [(1, False), (2, True)]
    assert replace(rows.rows[1], state=OutcomeState.CACHED).holds_prediction


@pytest.mark.parametrize(
    ("uris", "source"),
    [
        (["/p/a/1.jpg", "/p/b/2.jpg"], "/p"), (["/p/a.jpg", "/p/a.jpg"], "/p/a.jpg"), (["/p/a.jpg"], "/p/a.jpg"),
        (["s3://b/x/1.jpg", "s3://b/x/2.jpg"], "s3://b/x"), (["/a/1.jpg", "/b/2.jpg"], "SOURCE"), ([], "SOURCE"),
        (["/a/1.jpg", "s3://b/2.jpg"], "SOURCE"), (["a/1.jpg", "/b/2.jpg"], "SOURCE"),
    ],
)  # fmt: skip
def test_the_source_of_a_command_is_what_all_items_lie_in(uris, source):
    assert source_of(uris) == [source]


def test_the_command_is_one_that_the_command_line_takes():
    from nightshift.cli.request import job_options

    job = status(
        name="yard; rm -rf", params={"confidence": 0.4, "classes": ["cat", "dog"]}, hardware=("gpu-sm90", "cpu"),
        wishes={"backend": ["onnx"], "batch_size": 8, "nms_fusion": False}, priority=3, tags={"site": "north"},
        max_failures=9, max_failure_rate=0.5, video=VideoOptions(fps=0.5, start_s=2.0, track=True).record(),
    )  # fmt: skip
    line = command_of(job, ["/p/a/1.jpg", "/p/b/2.jpg"], GateLimits(empty_rate_rise=0.2, speed_share=None))
    usual = replace(job, name=usual_name(job.model, "/p/a/1.jpg", job.total))
    taken = {}
    command = job_options(click.Command("submit", callback=lambda **options: taken.update(options)).callback)

    parsed = click.command()(command)
    program, verb, *arguments = shlex.split(line)
    parsed.main(arguments, standalone_mode=False)

    assert (program, verb) == ("nightshift", "submit")
    assert taken["sources"] == ("/p",)
    assert "--name" not in command_of(usual, ["/p/a/1.jpg", "/p/b/2.jpg"])
    assert (taken["name"], taken["conf"], taken["classes"]) == ("yard; rm -rf", 0.4, ("cat", "dog"))
    assert (taken["batch"], taken["backend"], taken["nms_fusion"]) == (8, ("onnx",), False)
    assert (taken["tags"], taken["priority"], taken["max_failures"]) == ({"site": "north"}, 3, 9)
    assert taken["gate_limits"] == {"empty_rate_rise": 0.2, "speed_share": None}
    assert command_of(job, [], GateLimits()).count("--gate") == command_of(job, [], GateLimits()).count("--gates") == 1
    assert "--gate" not in command_of(job, [])
    frames = {name: taken[name] for name in VideoOptions.__dataclass_fields__}
    assert VideoOptions(**frames).record() == job.video
