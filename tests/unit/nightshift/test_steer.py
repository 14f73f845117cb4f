"""`pause`, `resume`, `priority` and the moments that `submit` takes, on a store of their own and without a broker."""

from __future__ import annotations

import json
from datetime import datetime

import click
import pytest
from click.testing import CliRunner

from jobstore.schema import JobState
from jobstore.store import JobStore
from nightshift.cli import cli
from nightshift.cli.request import classes_here
from nightshift.cli.times import read_moment
from tests.fixtures.jobs import add, failed, lease_next, write


@pytest.fixture
def environment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return {"NIGHTSHIFT_DATA_DIR": str(tmp_path), "NIGHTSHIFT_BROKER_URL": None, "NIGHTSHIFT_DATABASE_URL": None}


@pytest.fixture
def store(environment, tmp_path):
    assert CliRunner().invoke(cli, ["jobs"], env=environment).exit_code == 0  # makes the database
    with JobStore.open(f"sqlite:///{next(tmp_path.glob('*.db'))}") as opened:
        yield opened


def call(environment, *arguments):
    done = CliRunner().invoke(cli, arguments, env=environment, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_job_is_paused_resumed_and_reprioritised(environment, store):
    job_id = add(store, 8)

    assert call(environment, "pause", job_id[-6:]) == f"paused {job_id[-6:]}: 0 of 8 done, paused\n"
    assert store.status(job_id).state is JobState.PAUSED
    assert call(environment, "pause", job_id) == f"{job_id[-6:]} is paused\n"
    assert "0 of 8 done, running" in call(environment, "resume", job_id)
    assert json.loads(call(environment, "priority", job_id, "--json", "--", "-3"))["priority"] == -3


def test_resume_takes_other_limits(environment, store):
    job_id = add(store, 8, max_failures=0)
    write(store, lease_next(store), [failed(0)])

    call(environment, "resume", job_id, "--max-failures", "5")
    assert store.status(job_id).max_failures == 5
    call(environment, "pause", job_id)
    call(environment, "resume", job_id, "--ignore-failures")
    assert (store.status(job_id).max_failures, store.status(job_id).max_failure_rate) == (8, 1.0)


def test_ignoring_failures_beside_a_limit_is_a_wrong_call(environment, store):
    with pytest.raises(click.UsageError, match="no other limit"):
        cli.main(["resume", add(store, 1), "--ignore-failures", "--max-failures", "3"], standalone_mode=False)


def test_status_says_why_a_job_stands_still(environment, store):
    stopped, waiting = add(store, 8, max_failures=0), add(store, 8, hardware=("gpu-sm90",), expires=4e9)
    write(store, lease_next(store), [failed(0)])

    text = call(environment, "status", stopped)

    assert "needs_attention too_many_failures" in text
    assert "nightshift resume" in text
    assert "waiting   no worker serves gpu-sm90" in call(environment, "status", waiting)
    assert "expires   2096" in call(environment, "status", waiting)


def test_submit_hands_limits_times_and_classes_over(environment, store, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    options = ["--max-failures", "3", "--canary", "0", "--deadline", "6h", "--expires", "2096-10-02T07:06"]

    report = json.loads(
        call(
            environment,
            "submit",
            str(tmp_path / "a.jpg"),
            "-m",
            "digits",
            "--hardware",
            "gpu-sm1,cpu",
            "--json",
            *options,
        )
    )

    assert (report["max_failures"], report["canary_items"]) == (3, 0)
    assert report["now"] < report["deadline"] < report["expires"]
    assert report["hardware"] in (["cpu"], ["cpu-amx"])  # what this machine has of the classes


def test_of_several_classes_those_that_are_here_are_taken_and_none_is_an_error():
    assert classes_here(["gpu-sm1", "cpu", "auto"])
    with pytest.raises(click.UsageError, match="gpu-sm1"):
        classes_here(["gpu-sm1", "gpu-sm2"])


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("90m", "2026-11-21T23:30"),
        ("2d", "2026-11-23T22:00"),
        ("06:30", "2026-11-22T06:30"),
        ("23:15", "2026-11-21T23:15"),
        ("2026-12-01T05:00", "2026-12-01T05:00"),
    ],
    ids=["minutes", "days", "tomorrow", "tonight", "date"],
)
def test_moments_are_typed_as_spans_times_of_the_day_or_dates(typed, expected):
    now = datetime.fromisoformat("2026-11-21T22:00").timestamp()

    assert read_moment(typed, lambda: now) == datetime.fromisoformat(expected).timestamp()


@pytest.mark.parametrize("typed", ["soon", "25:00", "-3h", "2026-13-01"])
def test_what_is_no_moment_is_refused_with_the_three_forms(typed):
    with pytest.raises(click.BadParameter, match="expected 6h, 06:30 or 2026"):
        read_moment(typed, lambda: 0.0)
