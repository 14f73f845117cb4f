"""`nightshift notify retry`: messages that no receiver took are sent again, those that were taken are not."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from jobstore.aftercare import Webhook
from jobstore.outbox import DeliveryState
from jobstore.store import JobStore
from nightshift.cli import cli
from tests.fixtures.jobs import add


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Call a command in this process, on a data folder of its own."""
    monkeypatch.chdir(tmp_path)
    environment = {"NIGHTSHIFT_DATA_DIR": str(tmp_path), "NIGHTSHIFT_BROKER_URL": None, "NIGHTSHIFT_DATABASE_URL": None}

    def call(*arguments: str, code: int = 0) -> str:
        done = CliRunner().invoke(cli, list(arguments), env=environment)
        assert done.exit_code == code, done.output
        return done.stdout

    return call


@pytest.fixture
def store(run, tmp_path):
    run("jobs")  # makes the database
    with JobStore.open(f"sqlite:///{next(tmp_path.glob('*.db'))}") as opened:
        yield opened


@pytest.fixture
def job_id(store):
    """A job whose two messages nobody took, beside another's, which was taken."""
    given_up = add(store, 1, webhooks=(Webhook("https://a.example/1"), Webhook("https://a.example/2")))
    taken = add(store, 1, webhooks=(Webhook("https://b.example/"),))
    for each in (given_up, taken):
        store.cancel(each)
    for delivery in store.outbox.claim(3, 60):
        if delivery.job_id == taken:
            store.outbox.delivered(delivery, 200)
        else:
            store.outbox.failed(delivery, 410, "the receiver answered 410", None)
    return given_up


def test_what_a_job_told_in_vain_is_told_again(run, store, job_id):
    told = [json.loads(line) for line in run("notify", "retry", "--job", job_id, "--json").splitlines()]
    assert [each["is_changed"] for each in told] == [True, True]
    assert store.outbox.counts() == {DeliveryState.PENDING: 2, DeliveryState.DELIVERED: 1}


def test_a_message_that_was_taken_is_not_told_again(run, store, job_id):
    (taken,) = store.outbox.list(states=(DeliveryState.DELIVERED,))
    assert json.loads(run("notify", "retry", taken.delivery_id, "--json"))["is_changed"] is False


def test_a_message_that_is_none_is_an_error_and_so_is_none_at_all(run, store):
    assert run("notify", "retry", "0190", code=1) == ""
    run("notify", "retry", code=2)
