"""`nightshift run` with its real Redis, real worker process and real model."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import pytest

from nightshift.claim import Claim
from producer.resident import ping
from tests.fixtures.cli import DEADLINE_S, nightshift, start, take_ctrl_c


def test_run_labels_exports_and_leaves_nothing_running(environment, photos, tmp_path):
    status, out, err = nightshift(
        environment, "run", str(photos), "-m", "digits", "--backend", "onnx", "-o", str(tmp_path / "out"), "--json"
    )

    assert status == 0, err
    report = json.loads(out)
    assert (report["state"], report["ok"], report["total"]) == ("completed", 3, 3)
    assert report["decisions"][0]["backend"] == "onnx"
    assert {export["format"] for export in report["exports"]} == {"coco", "jsonl"}
    assert (tmp_path / "out" / "manifest.json").is_file()
    assert "labelled in" in err
    assert Claim(tmp_path / "data").resident() is None


def test_a_job_is_exported_again_in_other_formats_and_filtered(environment, photos, tmp_path):
    nightshift(environment, "run", str(photos), "-m", "digits", "--backend", "onnx", "--conf", "0.05")
    job = json.loads(nightshift(environment, "jobs", "--json")[1])["job_id"]
    out = tmp_path / "out"

    status, _, err = nightshift(environment, "export", job, "-f", "yolo,csv,label-studio", "-o", str(out))
    refused = nightshift(environment, "export", job, "-f", "embeddings", "-o", str(tmp_path / "other"))
    unknown = nightshift(environment, "export", job, "-f", "csv", "--classes", "cat", "-o", str(tmp_path / "other"))
    sure = nightshift(environment, "export", job, "-f", "csv", "--min-confidence", "1", "-o", str(out), "--json")

    assert status == 0, err
    assert {path.name for path in out.iterdir()} == {"yolo", "results.csv", "label-studio", "manifest.json"}
    assert (refused[0], unknown[0]) == (2, 2)
    assert "formats that fit: annotated, coco, csv" in refused[2]
    assert "the model has no class called 'cat'" in unknown[2]
    assert not (tmp_path / "other").exists()
    (summary,) = json.loads(sure[1])
    assert (summary["items"], summary["objects"]) == (3, 0)


def test_a_job_over_its_failure_limit_exits_with_3_and_names_the_broken_picture(environment, photos):
    (photos / "broken.jpg").write_bytes(b"no picture at all")

    status, out, err = nightshift(environment, "run", str(photos), "-m", "digits", "--backend", "onnx")

    assert (status, out) == (3, ""), err
    assert "error: the job ended over its failure limit" in err
    assert "broken.jpg" in err


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["-m", "nope"], 1, "no model called 'nope'"),
        (["-m", "digits", "--classes", "cat"], 2, "the model has no class 'cat'"),
        (["-m", "digits", "--backend", "trt"], 5, "nothing on this machine runs digits"),
        (["-m", "digits", "-o", "out", "-f", "papyrus"], 2, "no export format is called 'papyrus'"),
        (["-m", "digits", "-f", "coco"], 2, "-o DIR"),
        (["-m", "digits", "-o", "gs://bucket/x"], 2, "neither a folder nor s3://bucket/prefix"),
    ],
    ids=["model", "class", "backend", "format", "folder", "bucket"],
)
def test_what_cannot_work_is_said_before_anything_is_accepted(environment, photos, arguments, status, words):
    code, _, err = nightshift(environment, "run", str(photos), *arguments)

    assert (code, nightshift(environment, "jobs", "--json")[1]) == (status, ""), err
    assert err.splitlines()[-3:]
    assert words in err


def test_a_source_that_does_not_exist_starts_nothing(environment, tmp_path):
    status, _, err = nightshift(environment, "run", str(tmp_path / "nowhere"), "-m", "digits")

    assert status == 2
    assert err.startswith("error: ")
    assert not (tmp_path / "data").exists()


def interrupt_when_accepted(process: subprocess.Popen[str]) -> str:
    """Send Ctrl-C as soon as the job's id is told, and give what was said."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if line.startswith("reading"):
            break
    process.send_signal(signal.SIGINT)
    return said + process.communicate(timeout=DEADLINE_S)[1]


@pytest.fixture
def interrupted(environment, photos):
    """A run of 300 pictures that Ctrl-C stopped: its words, what it said, and its job."""
    for index in range(3, 300):  # enough that the job is not over before the signal comes
        os.link(photos / f"{index % 3}.png", photos / f"{index}.png")
    options = {"start_new_session": True, "preexec_fn": take_ctrl_c}
    asked = ("run", str(photos), "-m", "digits", "--backend", "onnx", "--no-cache")  # it is three pictures, 300 times
    with start(environment, *asked, **options) as process:
        said = interrupt_when_accepted(process)
    assert process.returncode == 130, said
    return asked, said, json.loads(nightshift(environment, "jobs", "--json")[1])["job_id"]


def test_ctrl_c_leaves_the_job_and_watch_goes_on_with_it(environment, interrupted):
    _, said, job = interrupted
    assert f"nightshift watch {job[-6:]}" in said

    status, out, err = nightshift(environment, "watch", job[-6:], "--json")

    assert status == 0, err
    assert json.loads(out)["ok"] == 300


def test_the_same_words_with_resume_go_on_with_an_interrupted_run(environment, interrupted, tmp_path):
    asked, _, job = interrupted

    status, out, err = nightshift(environment, *asked, "--resume", "-o", str(tmp_path / "out"), "-f", "jsonl", "--json")
    again = nightshift(environment, *asked, "--resume", "--limit", "1", "--json")

    assert status == 0, err
    assert (json.loads(out)["job_id"], json.loads(out)["ok"]) == (job, 300)
    assert len((tmp_path / "out/results.jsonl").read_text().splitlines()) == 300
    assert "no run of these words was interrupted" in again[2]
    assert json.loads(again[1])["job_id"] != job


def test_a_job_submitted_while_nobody_works_is_done_by_the_next_stack(environment, photos):
    status, job, err = nightshift(environment, "submit", str(photos), "-m", "digits", "--backend", "onnx")
    assert status == 0, err
    assert "nobody works on it yet" in err

    status, out, err = nightshift(environment, "watch", job.strip(), "--json")

    assert status == 0, err
    assert json.loads(out)["ok"] == 3


def test_a_second_run_joins_up_and_both_end_well(environment, photos, tmp_path):
    with start(environment, "up", "--json", "--hardware", "cpu") as up:
        assert up.stdout is not None
        socket_path = json.loads(up.stdout.readline())["broker_url"].removeprefix("redis+socket://")
        assert ping(socket_path)
        status, _, err = nightshift(environment, "run", str(photos), "-m", "digits", "--backend", "onnx")
        up.send_signal(signal.SIGTERM)
        up.communicate(timeout=DEADLINE_S)

    assert status == 0, err
    assert "joins the stack that runs here" in err
    assert up.returncode == 0
    assert not ping(socket_path)


def test_a_joined_run_takes_over_when_the_stack_is_killed(environment, photos):
    with start(environment, "up", "--json", "--hardware", "cpu") as up:
        assert up.stdout is not None
        json.loads(up.stdout.readline())
        with start(environment, "run", str(photos), "-m", "digits", "--backend", "onnx") as joined:
            assert joined.stderr is not None
            first = joined.stderr.readline()
            up.kill()
            _, err = joined.communicate(timeout=DEADLINE_S)

    assert "joins the stack that runs here" in first
    assert joined.returncode == 0, err


@pytest.fixture
def fleet(environment, private_redis, tmp_path) -> dict[str, str]:
    return {
        **environment,
        "NIGHTSHIFT_BROKER_URL": private_redis.url,
        "NIGHTSHIFT_DATABASE_URL": f"sqlite:///{tmp_path}/fleet.db",
    }


def test_a_fleet_needs_its_schema_first_and_says_so(fleet, photos):
    status, _, err = nightshift(fleet, "submit", str(photos), "-m", "digits")

    assert status == 1
    assert "nightshift db upgrade" in err


def test_a_fleets_worker_does_what_was_submitted_and_drains_on_sigterm(fleet, photos):
    assert nightshift(fleet, "db", "upgrade")[0] == 0
    status, job, err = nightshift(fleet, "submit", str(photos), "-m", "digits", "--hardware", "cpu")
    assert status == 0, err

    with start(fleet, "worker", "start", "--hardware", "cpu") as worker:
        watched, out, err = nightshift(fleet, "watch", job.strip(), "--json")
        worker.send_signal(signal.SIGTERM)
        _, log = worker.communicate(timeout=DEADLINE_S)

    assert watched == 0, err
    assert json.loads(out)["ok"] == 3
    assert worker.returncode == 0, log


def test_a_fleets_missing_database_exits_with_4(fleet, photos):
    unreachable = {**fleet, "NIGHTSHIFT_DATABASE_URL": "sqlite:////nowhere/fleet.db"}

    assert nightshift(unreachable, "jobs")[0] == 4


def test_worker_start_without_a_broker_is_a_wrong_call(environment):
    status, _, err = nightshift(environment, "worker", "start")

    assert status == 2
    assert "nightshift up" in err
