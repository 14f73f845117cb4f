"""Rows that say why a backend runs: one a job and process, however many jobs a process sees."""

from __future__ import annotations

from contextlib import closing

import pytest

from inference_engine import AutoModel
from inference_engine.batching import BatchPolicy, MicroBatcher
from inference_engine.machine import probe_machine
from jobstore.schema import WorkerId
from jobstore.store import JobStore
from tests.fixtures.fleet import DIGITS
from tests.fixtures.jobs import add, lease_next
from workers import decisions
from workers.decisions import DecisionBook, WorkerFacts
from workers.opening import LoadedModel


@pytest.fixture
def loaded():
    with closing(AutoModel.from_pretrained(str(DIGITS))) as model:
        batcher = MicroBatcher(model.forward, BatchPolicy(1, 0.0, 1))
        yield LoadedModel(model, batcher, 1.0)
        batcher.close()


@pytest.fixture
def book(sqlite_url):
    with JobStore.open(sqlite_url) as store:
        store.create_schema()
        yield DecisionBook(store, WorkerId("w"), WorkerFacts(probe_machine(), {}))


def test_a_job_has_one_row_of_a_process_however_often_it_comes(book, loaded):
    add(book.store, 8)
    leases = [lease_next(book.store), lease_next(book.store)]

    first = book.decisions_for(leases, loaded)

    assert first == book.decisions_for(leases, loaded)
    assert [row.decision_id for row in book.store.decisions(leases[0].job_id)] == first[:1] == first[1:]


def test_jobs_that_came_long_ago_are_forgotten_so_that_memory_stays_flat(book, loaded, monkeypatch):
    monkeypatch.setattr(decisions, "REMEMBERED", 2)
    for _ in range(4):
        add(book.store, 1)
    leases = [lease_next(book.store) for _ in range(4)]
    answers = book.decisions_for(leases, loaded)

    assert book.decisions_for(leases[2:], loaded) == answers[2:]
    assert book.decisions_for(leases[:1], loaded) != answers[:1]
    assert len(book._known) == 2
