"""Exports that are asked for: one a job's end, made by one at a time, given up after some tries."""

import pytest
from sqlalchemy import update

from jobstore.aftercare import SHELF, Output
from jobstore.errors import ExportNotFound
from jobstore.export_requests import MAX_TRIES, ExportState
from jobstore.service_tables import exports
from jobstore.store import JobStore
from tests.fixtures.jobs import LEASE_S, add, run_to_end
from tests.fixtures.nightly import lose_claims

DAY_S = 86_400.0
OUTPUT = Output("/labels/yard", ("coco", "yolo"), {"min_confidence": 0.5})


def test_a_job_with_an_output_asks_for_its_export_when_it_ends(store: JobStore) -> None:
    job_id = add(store, 6, output=OUTPUT)
    assert store.exports.of_job(job_id) == []
    run_to_end(store)
    (request,) = store.exports.of_job(job_id)
    assert (request.output, request.state, request.tenant) == (OUTPUT, ExportState.PENDING, "default")


@pytest.mark.parametrize(
    ("output", "end"), [pytest.param(None, "run", id="no output"), pytest.param(OUTPUT, "cancel", id="cancelled")]
)
def test_other_jobs_ask_for_none(store: JobStore, output: Output | None, end: str) -> None:
    job_id = add(store, 2, output=output)
    run_to_end(store) if end == "run" else store.cancel(job_id)
    assert store.exports.of_job(job_id) == []


def test_an_export_is_made_by_one_at_a_time(store: JobStore) -> None:
    export_id = store.exports.ask(add(store, 1), OUTPUT)
    held = store.exports.claim("one", LEASE_S)
    assert held is not None
    assert held.export_id == export_id
    assert store.exports.claim("two", LEASE_S) is None
    assert store.exports.renew(held, LEASE_S)
    assert store.exports.done(held, ({"format": "coco"},))
    stored = store.exports.get(export_id)
    assert (stored.state, stored.summary) == (ExportState.DONE, ({"format": "coco"},))
    lose_claims(store)
    assert store.exports.claim("two", LEASE_S) is None


def test_an_exporter_who_died_is_replaced_and_its_note_changes_nothing(store: JobStore) -> None:
    store.exports.ask(add(store, 1), OUTPUT)
    dead = store.exports.claim("dead", LEASE_S)
    lose_claims(store)
    heir = store.exports.claim("heir", LEASE_S)
    assert dead is not None
    assert heir is not None
    assert (store.exports.renew(dead, LEASE_S), store.exports.done(dead, ())) == (False, False)
    assert store.exports.done(heir, ())


def test_a_failure_that_may_pass_is_tried_again_some_times(store: JobStore) -> None:
    export_id = store.exports.ask(add(store, 1), OUTPUT)
    for _ in range(MAX_TRIES):
        held = store.exports.claim("one", LEASE_S)
        assert held is not None
        store.exports.failed(held, "the disk is full", retry_s=-1)
    assert store.exports.claim("one", LEASE_S) is None
    stored = store.exports.get(export_id)
    assert (stored.state, stored.message, stored.tries) == (ExportState.FAILED, "the disk is full", MAX_TRIES)


def test_a_try_that_is_not_due_yet_waits(store: JobStore) -> None:
    store.exports.ask(add(store, 1), OUTPUT)
    held = store.exports.claim("one", LEASE_S)
    assert held is not None
    store.exports.failed(held, "the disk is full", retry_s=3600)
    assert store.exports.claim("one", LEASE_S) is None


def test_an_export_that_takes_every_exporter_with_it_is_given_up(store: JobStore) -> None:
    export_id = store.exports.ask(add(store, 1), OUTPUT)
    for _ in range(MAX_TRIES):
        assert store.exports.claim("dead", LEASE_S) is not None
        lose_claims(store)
    assert store.exports.claim("last", LEASE_S) is None
    assert store.exports.get(export_id).state is ExportState.FAILED


def test_another_tenants_export_is_not_found(store: JobStore) -> None:
    export_id = store.exports.ask(add(store, 1), OUTPUT)
    with pytest.raises(ExportNotFound, match=export_id):
        store.exports.get(export_id, "other")


def test_what_a_server_keeps_is_made_by_those_who_reach_its_folder(store: JobStore) -> None:
    job_id = add(store, 1)
    kept = store.exports.ask(job_id, Output(f"{SHELF}one", ("jsonl",)))
    sent = store.exports.ask(job_id, OUTPUT)
    claimed = store.exports.claim("of another folder", LEASE_S, f"{SHELF}two")
    assert claimed is not None
    assert claimed.export_id == sent
    assert store.exports.claim("of no folder", LEASE_S) is None
    claimed = store.exports.claim("of the same", LEASE_S, f"{SHELF}one")
    assert claimed is not None
    assert claimed.export_id == kept


def test_exports_that_ended_long_ago_are_forgotten_and_none_that_is_to_be_made(store: JobStore) -> None:
    job_id = add(store, 1)
    for _ in range(3):
        store.exports.ask(job_id, OUTPUT)
    done, failed = (store.exports.claim("one", LEASE_S) for _ in range(2))
    assert done is not None
    assert failed is not None
    store.exports.done(done, ())
    store.exports.failed(failed, "the folder is full", None)

    assert store.exports.prune(DAY_S) == 0
    store._db.write(lambda db: db.execute(update(exports).values(finished=exports.c.finished - 2 * DAY_S)))
    assert store.exports.prune(DAY_S) == 2

    (left,) = store.exports.of_job(job_id)
    assert left.state is ExportState.PENDING
