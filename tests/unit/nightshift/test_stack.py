"""What a stack notices while somebody waits for a job."""

from __future__ import annotations

import pytest

from jobstore.schema import WorkerId, WorkerRow
from nightshift.errors import StackBusy, WorkersEnded
from nightshift.settings import load_settings
from nightshift.stack import Stack, open_client, open_store


class Workers:
    def __init__(self, *pids: int) -> None:
        self.pids = list(pids)


class Store:
    def __init__(self, *pids: int) -> None:
        self.rows = [WorkerRow(WorkerId(str(pid)), "here", pid, "cpu", "cpu") for pid in pids]
        self.fleet = self

    def workers(self) -> list[WorkerRow]:
        return self.rows


@pytest.fixture
def settings(tmp_path):
    return load_settings({}, data_dir=tmp_path / "data")


def a_stack(settings, store: Store, workers: Workers) -> Stack:
    stack = Stack(settings, {})
    stack.store, stack.workers = store, workers  # type: ignore[assignment]
    stack._next_look = 0.0
    return stack


def test_workers_that_never_report_end_the_waiting(settings):
    with pytest.raises(WorkersEnded):
        a_stack(settings, Store(11), Workers(12)).tend()


def test_workers_that_report_are_left_to_work(settings):
    a_stack(settings, Store(11, 12), Workers(12)).tend()


def test_workers_have_time_to_start(settings):
    stack = Stack(settings, {})
    stack.workers = Workers()  # type: ignore[assignment]

    stack.tend()


def test_a_store_in_the_data_folder_is_made_when_it_is_first_opened(settings):
    with open_store(settings) as store:
        assert store.jobs() == []

    assert (settings.data_dir / "nightshift.db").is_file()


def test_a_client_of_nothing_that_runs_has_a_store_and_no_broker(settings):
    with open_client(settings) as stack:
        assert stack.gateway.jobs() == []
        assert not stack.is_joined


def test_a_folder_that_is_held_and_does_not_answer_is_an_error_with_a_way_out(settings, monkeypatch):
    from nightshift.claim import Claim

    monkeypatch.setattr("nightshift.stack.JOIN_TIMEOUT_S", 0.0)
    claim = Claim(settings.data_dir)
    claim.take()
    stack = Stack(settings, {})

    with pytest.raises(StackBusy) as caught:
        stack.open(with_workers=False)

    claim.release()
    assert "NIGHTSHIFT_DATA_DIR" in caught.value.hint


def test_a_stack_without_workers_has_a_redis_that_others_join(settings):
    first, second = Stack(settings, {}), Stack(settings, {})
    first.open(with_workers=False)
    second.open(with_workers=False)

    assert (first.is_joined, second.is_joined) == (False, True)
    assert first.broker_url == second.broker_url
    second.close()
    first.close()


def test_a_joiner_takes_over_when_the_owner_is_gone(settings, monkeypatch):
    monkeypatch.setattr(Stack, "_start_workers", lambda *_arguments, **_options: None)
    owner, joiner = Stack(settings, {}), Stack(settings, {})
    owner.open(with_workers=True)
    joiner.open(with_workers=True)
    owner.close()

    joiner.tend()

    assert not joiner.is_joined
    assert joiner.redis is not None
    joiner.close()
