"""Capsules: what they hold, what a replay may differ by, and what it may not."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import pytest

from jobstore.schema import DecisionId, DecisionRow, ItemError, JobId, JobState, OutcomeState, WorkerId
from nightshift.replay import items_of, replay_spec
from producer.errors import CapsuleInvalid, JudgingFailed
from producer.judging.capsule import (
    Replay,
    Verdict,
    changed_inputs,
    choose,
    read_capsule,
    tolerance_of,
    verify,
    write_capsule,
)
from producer.judging.capsule.canonical import canonical, digest
from tests.fixtures.judging import boxes, row, status

MACHINE = {"os": "Linux", "cpu_name": "EPYC", "cpu_features": ["avx2"], "free_bytes": 123, "gpus": [], "packages": {}}
FOUND = [boxes((0, 0.9, 0, 0, 10, 10)), boxes((1, 0.8, 20, 20, 40, 40)), boxes()]


def decision(**fields):
    plain = DecisionRow(
        job_id=JobId("0193-job"), worker_id=WorkerId("w"), model_id="tinydet", package_id="tinydet-onnx",
        package_digest="sha256:ab", backend="onnx", device="cpu", quantization="fp32", max_batch_size=8,
        strategy="measured", task="object-detection", class_names=("cat",), candidates=(),
        versions={"onnxruntime": "1.31"}, machine=MACHINE, load_ms=1.0, decision_id=DecisionId("d1"),
    )  # fmt: skip
    return dataclasses.replace(plain, **fields)


@pytest.fixture
def pictures(tmp_path):
    paths = [tmp_path / f"{n}.jpg" for n in range(3)]
    for n, path in enumerate(paths):
        path.write_bytes(b"picture %d" % n)
    return paths


@pytest.fixture
def rows(pictures):
    return [row(idx, str(path), FOUND[idx]) for idx, path in enumerate(pictures)]


@pytest.fixture
def capsule(rows, tmp_path):
    summary = write_capsule(status(total=3, ok=3), rows, [decision()], tmp_path / "capsule.json")
    return read_capsule(summary.path)


def test_a_capsule_says_what_went_in_and_what_came_out(capsule, rows, tmp_path):
    """The hash of a result is that of its JSON with sorted keys, whoever writes it."""
    lines = [
        json.dumps(
            {"frame": 0, "state": "ok", "record": each.record, "blob": None, "error": None},
            sort_keys=True, separators=(",", ":"),
        ).encode() + b"\n"
        for each in rows
    ]  # fmt: skip

    assert capsule.schema_version == 1
    assert [each.uri for each in capsule.inputs] == [each.uri for each in rows]
    assert [each.sha256 for each in capsule.inputs] == [hashlib.sha256(b"picture %d" % n).hexdigest() for n in range(3)]
    assert [each.result for each in capsule.inputs] == [hashlib.sha256(line).hexdigest() for line in lines]
    assert capsule.results_sha256 == hashlib.sha256(b"".join(lines)).hexdigest()
    assert (capsule.job["id"], capsule.counts["ok"], capsule.model["digest"]) == ("0193-job", 3, "sha256:ab")
    assert capsule.decisions[0].versions == {"onnxruntime": "1.31"}
    assert capsule.decisions[0].machine == {"os": "Linux", "cpu_name": "EPYC", "cpu_features": ["avx2"]}
    assert json.loads((tmp_path / "capsule.json").read_text())["job"]["state"] == "completed"


def test_a_result_has_one_form_whatever_wrote_it(rows):
    first = rows[0]
    backwards = dict(reversed(first.record.items()))

    assert canonical(dataclasses.replace(first, record=backwards)) == canonical(first)
    assert digest([dataclasses.replace(first, state=OutcomeState.CACHED)]) == digest([first])
    elsewhere = dataclasses.replace(first, attempt=3, timings_ms={"fetch": 1.0}, uri="/elsewhere")
    assert digest([elsewhere]) == digest([first])
    others = [
        dataclasses.replace(first, blob=b"x"),
        dataclasses.replace(first, frame=1),
        dataclasses.replace(first, record={**first.record, "confidence": [0.9000001]}),
        dataclasses.replace(first, record=None, state=OutcomeState.FAILED, error=ItemError("not_found", "gone")),
    ]
    assert len({digest([each]) for each in (first, *others)}) == 5


def test_inputs_that_cannot_be_read_have_no_hash_and_are_counted(tmp_path):
    summary = write_capsule(status(), [row(0, "s3://bucket/1.jpg", boxes())], [], tmp_path / "c.json")

    assert (summary.inputs, summary.unread, read_capsule(summary.path).inputs[0].sha256) == (1, 1, None)


def test_a_job_that_runs_has_no_capsule(tmp_path):
    with pytest.raises(JudgingFailed, match="job 0193-job is running; a capsule is of a job that has ended"):
        write_capsule(status(state=JobState.RUNNING), [], [], tmp_path / "c.json")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda text: text.replace('"schema_version":1', '"schema_version":9'),
            "of version 9; this nightshift reads 1",
        ),
        (lambda text: text[:-20], "is no capsule"),
        (lambda _: "{}", "is no capsule: .*schema_version"),
        (lambda text: text.replace('"results_sha256"', '"something"'), "is no capsule: .*results_sha256"),
    ],
    ids=["version", "cut off", "other file", "field"],
)
def test_a_damaged_capsule_is_refused(capsule, tmp_path, change, words):
    path = tmp_path / "capsule.json"
    path.write_text(change(path.read_text()))

    with pytest.raises(CapsuleInvalid, match=words):
        read_capsule(path)


def test_a_capsule_that_is_not_there_is_said(tmp_path):
    with pytest.raises(CapsuleInvalid, match="cannot be read: No such file"):
        read_capsule(tmp_path / "nowhere.json")


def test_a_sample_is_the_same_for_one_seed_and_keeps_the_order(capsule):
    many = dataclasses.replace(
        capsule, inputs=tuple(dataclasses.replace(capsule.inputs[0], idx=idx) for idx in range(1000))
    )

    drawn = [each.idx for each in choose(many, 20, seed=7)]

    assert drawn == sorted(drawn) == [each.idx for each in choose(many, 20, seed=7)]
    assert drawn != [each.idx for each in choose(many, 20, seed=8)]
    assert [each.idx for each in choose(many, 3)] == [0, 1, 2]
    assert len(choose(many)) == len(choose(many, 5000, seed=1)) == 1000


def test_inputs_are_sorted_by_what_became_of_them(capsule, pictures):
    pictures[1].write_bytes(b"another picture")
    pictures[2].unlink()

    kept, changed, gone = changed_inputs(capsule.inputs)

    assert ([each.idx for each in kept], changed, gone) == ([0], (str(pictures[1]),), (str(pictures[2]),))


def replayed(capsule, rows, *decisions, originals=None):
    again = Replay(status(job_id="0194-replay"), decisions or (decision(),), capsule.inputs)
    return verify(capsule, again, rows, {each.idx: [each] for each in originals or ()})


def moved(each, by):
    """The same boxes, their right sides moved."""
    boxes_now = [[x0, y0, x1 + by, y1] for x0, y0, x1, y1 in each.record["xyxy"]]
    return dataclasses.replace(each, record={**each.record, "xyxy": boxes_now})


def test_the_same_results_on_the_same_machine_are_the_same(capsule, rows):
    found = replayed(capsule, rows)

    assert (found.verdict, found.passed, found.run, found.same) == (Verdict.SAME, True, 3, 3)
    assert (found.circumstances, found.changes) == ((), ())


def test_any_difference_counts_where_everything_around_is_the_same(capsule, rows):
    found = replayed(capsule, [rows[0], moved(rows[1], 1e-3), rows[2]], originals=rows)

    assert (found.verdict, found.passed, found.same) == (Verdict.DIFFERS, False, 2)
    assert found.changes[0].uri == rows[1].uri
    assert found.changes[0].disagreement == pytest.approx(1e-3 / (20 + 1e-3))


def test_another_backend_may_cost_what_its_precision_costs(capsule, rows):
    """A box of 20 x 20 grows to 22 x 20: 1 - 20/22 = 0.0909, more than float32's 0.02 and less than fp16's 0.1."""
    again = [rows[0], moved(rows[1], 2), rows[2]]

    as_fp32 = replayed(capsule, again, decision(backend="torch"), originals=rows)
    as_fp16 = replayed(capsule, again, decision(backend="trt", quantization="fp16"), originals=rows)

    assert (as_fp32.verdict, as_fp32.near) == (Verdict.DIFFERS, 0)
    assert (as_fp16.verdict, as_fp16.near, as_fp16.passed) == (Verdict.WITHIN_TOLERANCE, 1, True)
    assert as_fp16.changes[0].disagreement == pytest.approx(1 - 20 / 22)
    assert as_fp16.circumstances == ("backend: onnx -> trt", "quantization: fp32 -> fp16")


def test_versions_and_machines_are_told_apart(capsule, rows):
    other = decision(versions={"onnxruntime": "1.32"}, machine={**MACHINE, "cpu_name": "Xeon", "free_bytes": 5})

    assert replayed(capsule, rows, other).circumstances == (
        "version of onnxruntime: 1.31 -> 1.32",
        "machine's cpu_name: EPYC -> Xeon",
    )


def test_another_package_excuses_nothing(capsule, rows):
    other = decision(package_digest="sha256:cd", quantization="int8")

    assert replayed(capsule, rows, other).verdict is Verdict.SAME
    found = replayed(capsule, [moved(rows[0], 0.1), *rows[1:]], other, originals=rows)
    assert (found.near, found.verdict) == (1, Verdict.DIFFERS)
    assert found.circumstances[0] == "package_digest: sha256:ab -> sha256:cd"


def test_without_the_original_a_difference_cannot_be_measured(capsule, rows):
    found = replayed(capsule, [moved(rows[0], 0.01), *rows[1:]], decision(backend="torch"))

    assert (found.verdict, found.near) == (Verdict.DIFFERS, 0)
    assert found.changes[0].words == "another result; the original's record is not in this store"


def test_a_picture_that_fails_now_is_told_with_its_code(capsule, rows):
    found = replayed(capsule, [row(0, rows[0].uri, None), *rows[1:]], originals=rows)

    assert found.changes[0].words == "ok -> image_truncated"


def test_what_the_replay_took_over_proves_nothing(capsule, rows):
    cached = [dataclasses.replace(each, state=OutcomeState.CACHED) for each in rows]

    assert replayed(capsule, cached).verdict is Verdict.NOTHING_RUN
    partly = replayed(capsule, [cached[0], *rows[1:]])
    assert (partly.verdict, partly.taken_over, partly.same) == (Verdict.SAME, 1, 2)


@pytest.mark.parametrize(
    ("precisions", "limit"),
    [(["fp32"], 0.02), (["fp32", "fp16"], 0.1), (["int8", "fp16"], 0.25), (["int4"], 0.1), ([], 0.1)],
    ids=["full", "half", "coarsest", "unknown", "none"],
)
def test_the_coarsest_precision_sets_the_tolerance(precisions, limit):
    assert tolerance_of(precisions).max_disagreement == limit


def test_a_replay_asks_for_what_ran_and_tries_nothing_first(capsule):
    spec = replay_spec(capsule, ("cpu",))

    assert spec.wishes == {"backend": "onnx", "quantization": "fp32", "strategy": "order"}
    assert (spec.model, spec.canary_items, spec.max_failure_rate) == ("tinydet", 0, 1.0)
    assert [item.uri for item in items_of(capsule.inputs)] == [each.uri for each in capsule.inputs]


@pytest.mark.parametrize(
    ("backend", "wishes"),
    [("torch", {"batch_size": 4, "backend": "torch"}), ("any", {"batch_size": 4})],
    ids=["another", "any"],
)
def test_another_backend_sets_the_capsules_choice_aside_and_no_more(capsule, backend, wishes):
    asked = dataclasses.replace(capsule, wishes={"backend": "onnx", "quantization": "fp32", "batch_size": 4})

    assert replay_spec(asked, ("cpu",), backend).wishes == wishes


def test_a_run_on_several_backends_is_left_to_the_job(capsule):
    both = dataclasses.replace(
        capsule, decisions=(*capsule.decisions, dataclasses.replace(capsule.decisions[0], backend="torch"))
    )

    assert replay_spec(both, ("cpu",)).wishes == {}
