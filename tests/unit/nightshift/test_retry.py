"""`retry` and `cache results`, on a store of their own and without a broker."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from jobstore.schema import JobState, Outcome, OutcomeState
from jobstore.store import JobStore
from nightshift.cli import cli
from tests.fixtures.jobs import add, failed, lease_next, ok, write


@pytest.fixture
def environment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return {"NIGHTSHIFT_DATA_DIR": str(tmp_path), "NIGHTSHIFT_BROKER_URL": None, "NIGHTSHIFT_DATABASE_URL": None}


@pytest.fixture
def store(environment, tmp_path):
    assert CliRunner().invoke(cli, ["jobs"], env=environment).exit_code == 0  # makes the database
    with JobStore.open(f"sqlite:///{next(tmp_path.glob('*.db'))}") as opened:
        yield opened


@pytest.fixture
def job_id(store):
    """Of eight items one failed, one hung, two are labelled; the other four were skipped by a cancel."""
    job_id = add(store, 8)
    found = [failed(0, "not_an_image"), failed(1, "item_timeout"), ok(2), ok(3)]
    write(store, lease_next(store), found, finished=True)
    store.cancel(job_id)
    return job_id


def call(environment, *arguments, status=0):
    done = CliRunner().invoke(cli, arguments, env=environment, catch_exceptions=False)
    assert done.exit_code == status, done.output
    return done.stdout


@pytest.mark.parametrize(
    ("asked", "items"),
    [
        ([], 2),
        (["--failed"], 2),
        (["--skipped"], 4),
        (["--failed", "--skipped"], 6),
        (["--cause", "item_timeout"], 1),
        (["--cause", "item_timeout", "--cause", "job_cancelled"], 5),
        (["--skipped", "--cause", "item_timeout"], 0),
    ],
    ids=["by itself", "failed", "skipped", "both", "a cause", "causes of both kinds", "a cause of the other kind"],
)
def test_what_runs_again_is_what_was_asked_for(environment, store, job_id, asked, items):
    answer = json.loads(call(environment, "retry", job_id[-6:], *asked, "--json"))

    assert (answer["retried"], answer["pending"]) == (items, items)
    assert store.state(job_id) is (JobState.RUNNING if items else JobState.CANCELLED)


def test_batch_and_hardware_hold_from_now_on(environment, store, job_id):
    call(environment, "retry", job_id, "--batch", "1", "--hardware", "gpu-any,cpu")

    job = store.status(job_id)
    assert (job.wishes, job.hardware) == ({"batch_size": 1}, ("gpu-any", "cpu"))


def test_the_answer_says_how_many_and_where_nothing_is_left_what_there_is(environment, job_id):
    assert call(environment, "retry", job_id) == f"2 items of {job_id[-6:]} again: running\n"
    assert (
        call(environment, "retry", job_id) == f"nothing to run again: 0 failed, 4 skipped, {job_id[-6:]} is running\n"
    )


def test_results_of_earlier_runs_are_shown_and_removed(environment, store):
    add(store, 1)
    kept = Outcome(0, OutcomeState.OK, record={"value": 1}, result_key="a")
    write(store, lease_next(store), [kept], finished=True)

    assert call(environment, "cache", "results") == "1 result kept for later runs, 11 B\n"
    assert call(environment, "cache", "results", "--prune", "--max-size", "0") == (
        "removed 1 result, 11 B\n0 results kept for later runs, 0 B\n"
    )
    call(environment, "cache", "results", "--max-size", "0", status=2)
