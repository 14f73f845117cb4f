"""`results` and `gates`: what is printed of a job that has ended."""

from __future__ import annotations

import json

import pytest

from jobstore.schema import Outcome, OutcomeState
from nightshift.cli import results as module
from nightshift.cli.results import words_of
from producer.errors import FilterInvalid
from producer.gate_work import Watchman
from producer.result import Result
from tests.fixtures.gateways import boxes
from tests.fixtures.jobs import add, failed, lease_next, ok, run_to_end, write
from tests.fixtures.judging import row


@pytest.fixture
def job_id(called_store):
    """Four pictures: a dog and a person, a broken one, nothing, a person."""
    found = add(called_store, 4, max_failure_rate=1.0)
    records = {0: boxes("dog", "person"), 2: boxes(), 3: boxes("person", score=0.4)}
    outcomes = [Outcome(idx, OutcomeState.OK, record=record) for idx, record in records.items()]
    write(called_store, lease_next(called_store), [*outcomes, failed(1)], finished=True)
    return found


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ([], {0: None, 1: None, 2: None, 3: None}),
        (["--where", "label = 'person'"], {0: [1], 3: [0]}),
        (["--where", "label = 'person' and score > .5"], {0: [1]}),
        (["--where", "objects = 0 and state = 'ok'"], {2: []}),
        (["--where", "cause = 'not_an_image'"], {1: []}),
        (["--state", "ok", "--limit", "2"], {0: None, 2: None}),
    ],
    ids=["all", "class", "class and score", "nothing found", "code", "state"],
)
def test_rows_are_those_that_were_asked_for(call, job_id, asked, expected):
    lines = [json.loads(line) for line in call("results", job_id[-6:], *asked).splitlines()]

    assert {line["idx"]: line.get("matching") for line in lines} == expected


def test_a_line_has_what_the_export_jsonl_calls_the_same(call, job_id):
    first, second = (json.loads(line) for line in call("results", job_id, "--limit", "2").splitlines())

    assert (first["uri"], first["record"]["class_id"], first["state"]) == ("/pictures/0.png", [1, 0], "ok")
    assert second["error"] == {"code": "not_an_image", "message": "no picture"}


def test_a_wrong_expression_is_refused(call, job_id):
    with pytest.raises(FilterInvalid, match="found 'scor'"):
        call("results", job_id, "--where", "scor > 1")


def test_a_terminal_gets_words(call, job_id, monkeypatch):
    monkeypatch.setattr(module, "is_terminal", lambda: True)

    lines = call("results", job_id, "--where", "label = 'person'").splitlines()

    assert lines == ["/pictures/0.png  ok  1 person", "/pictures/3.png  ok  1 person"]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (row(0, "/1", boxes("dog", "person", "dog")), "/1  ok  2 dog, 1 person"),
        (row(0, "/1", boxes()), "/1  ok  nothing found"),
        (row(0, "/v.mp4", {"text": " a cat \n"}, frame=3), "/v.mp4@3  ok  a cat"),
        (row(0, "/1", None), "/1  failed  image_truncated: ends early"),
    ],
    ids=["objects", "none", "text of a frame", "failure"],
)
def test_a_result_in_words(found, words):
    assert words_of(Result(found)) == words


def test_a_run_that_failed_its_gates_is_shown_explained_and_accepted(call, called_store):
    def night(objects):
        job = add(called_store, 2, gates={"min_images": 1, "speed_share": None}, name="yard")
        write(called_store, lease_next(called_store), [ok(0, objects), ok(1, objects)], finished=True)
        Watchman(called_store, "one").judge_due()
        return job

    good, bad = night(3), night(0)

    listed = [json.loads(line) for line in call("jobs", "--json").splitlines()]
    assert {line["job_id"]: line["gates"] for line in listed} == {good: "passed", bad: "failed"}
    assert "completed (gates failed)" in call("jobs")
    assert "gates     failed: empty_rate: 100.0% of the pictures have nothing in them" in call("status", bad)
    report = json.loads(call("gates", bad, "--json", status=1))
    assert (report["kept"], report["compared_with"]) == ("failed", [good])
    assert json.loads(call("gates", bad, "--accept", "--json"))["gates"] == "accepted"
    assert json.loads(call("gates", bad, "--accept", "--json", status=1))["is_changed"] is False


def test_a_job_without_gates_is_judged_when_somebody_asks(call, called_store):
    jobs = [add(called_store, 30, name="yard") for _ in range(2)]
    run_to_end(called_store)

    assert json.loads(call("gates", jobs[1], "--json", "--speed-share", "0"))["compared_with"] == [jobs[0]]


def test_one_job_is_judged_and_the_others_wait_for_who_keeps_house(called_store):
    jobs = [add(called_store, 2, gates={"min_images": 1}, name=name) for name in ("yard", "gate")]
    run_to_end(called_store)

    watchman = Watchman(called_store, "run")

    assert (watchman.judge_job(jobs[1]), watchman.judge_job(jobs[1])) == (True, False)
    assert [called_store.status(job).gates for job in jobs] == ["pending", "passed"]
