import resource
import sqlite3
from contextlib import contextmanager

import pytest

from jobstore.errors import SchemaOutdated, StoreUnavailable
from jobstore.schema import JobState, Renewal
from jobstore.store import JobStore
from tests.fixtures.jobs import ALICE, LEASE_S, add, assert_books_balance, failed, finish, lease_next, take, write


def test_a_submit_whose_commit_reply_was_lost_makes_one_job(store, lose_answers):
    lose_answers(2)

    job_id = add(store, 8)

    assert [(job.job_id, job.total) for job in store.jobs()] == [(job_id, 8)]
    assert [row.pending for row in store.fleet.queues()] == [2]
    assert [event.kind for event in store.events(job_id)] == ["submitted"]


def test_a_finish_whose_commit_reply_was_lost_gives_the_same_answer(store, lose_answers):
    job_id = add(store, 4)
    lease = lease_next(store)
    lose_answers()

    assert finish(store, lease) is True
    assert store.status(job_id).state is JobState.COMPLETED
    assert_books_balance(store, job_id)


def test_hints_whose_commit_reply_was_lost_are_found_by_the_relay(store, lose_answers):
    add(store, 4)
    lose_answers()

    assert store.release(1) == []
    assert store.relay.requeue_lost(["infer.cpu.digits"], older_than_s=0.0) == 1
    assert len(store.release(1)) == 1


def test_a_lease_whose_commit_reply_was_lost_runs_out_like_any_other(store, lose_answers):
    add(store, 4)
    hint = store.release(1)[0]
    lose_answers()

    assert store.lease_shard(hint.shard_id, hint.attempt, ALICE, -1.0) is None
    assert store.relay.expire_leases(3) == 1


CHANGES = {
    "cancel": lambda store, lease: store.cancel(lease.job_id),
    "fail_job": lambda store, lease: store.fail_job(lease.job_id, "code", "words"),
    "pause": lambda store, lease: store.pause(lease.job_id),
    "resume": lambda store, lease: store.pause(lease.job_id) and store.resume(lease.job_id),
    "reprioritise": lambda store, lease: store.reprioritise(lease.job_id, 5),
    "release_shard": lambda store, lease: store.release_shard(lease),
    "count_death": lambda store, lease: store.count_death(lease, 3),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_change_whose_commit_reply_was_lost_is_told_as_one_and_made_once(store, lose_answers, change, lost):
    job_id = add(store, 8)
    lease = lease_next(store)
    lose_answers(lost)

    assert change(store, lease) is True

    kinds = [event.kind for event in store.events(job_id)]
    assert len(kinds) == len(set(kinds))


@pytest.mark.parametrize(
    "change", [CHANGES["cancel"], CHANGES["fail_job"], CHANGES["pause"]], ids=["cancel", "fail", "pause"]
)
def test_what_was_not_changed_is_not_told_as_a_change_though_replies_are_lost(store, lose_answers, change):
    add(store, 4)
    lease = lease_next(store)
    finish(store, lease)
    lose_answers()

    assert change(store, lease) is False


def test_a_repair_whose_commit_reply_was_lost_is_done_once(store, lose_answers):
    job_id = add(store, 4, expires=1.0)
    lease_next(store, lease_s=-1.0)
    lose_answers()
    assert store.relay.expire_leases(3) == 0
    lose_answers()
    assert store.relay.expire_jobs() == []

    assert store.status(job_id).state is JobState.EXPIRED
    assert [event.kind for event in store.events(job_id)].count("expired") == 1
    assert_books_balance(store, job_id)


def test_killed_connections_are_opened_anew(postgres_url, postgres_server):
    with JobStore.open(postgres_url) as store:
        store.create_schema()
        job_id = add(store, 8)
        lease = lease_next(store)
        postgres_server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'nightshift'"
        )

        finish(store, lease)
        finish(store, take(store, store.release(1)[0]))

        assert_books_balance(store, job_id)


def test_a_server_that_is_not_there_is_named_without_its_password(tmp_path):
    url = f"postgresql+psycopg://me:secret@/db?host={tmp_path}"

    with (
        JobStore.open(url, patience_s=0.05) as store,
        pytest.raises(StoreUnavailable, match="does not answer") as raised,
    ):
        store.jobs()
    assert "secret" not in str(raised.value)


def test_a_database_file_in_no_folder_is_named(tmp_path):
    with (
        JobStore.open(f"sqlite:///{tmp_path}/none/store.db", patience_s=0.05) as store,
        pytest.raises(StoreUnavailable, match=r"none/store\.db does not answer .*unable to open"),
    ):
        store.jobs()


def test_a_file_that_another_program_keeps_locked_is_unavailable_to_writers_only(sqlite_url):
    with JobStore.open(sqlite_url, patience_s=0.05) as store:
        store.create_schema()
        job_id = add(store, 4)
        other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(StoreUnavailable, match="database is locked"):
            store.release(1)
        assert store.status(job_id).pending == 4

        other.execute("ROLLBACK")
        other.close()
        assert len(store.release(1)) == 1


def test_a_database_without_tables_asks_for_an_upgrade(empty_database_url):
    with JobStore.open(empty_database_url) as store, pytest.raises(SchemaOutdated, match="nightshift db upgrade"):
        store.jobs()


def test_another_kind_of_database_is_refused():
    with pytest.raises(ValueError, match=r"'mysql': expected sqlite:/// or postgresql://"):
        JobStore.open("mysql://x/y")


def test_a_store_that_was_closed_opens_again_by_itself(store):
    job_id = add(store, 4)
    store.close()

    assert store.status(job_id).total == 4
    assert store.renew(ALICE, [], LEASE_S) == Renewal()


def test_a_writing_transaction_takes_sqlites_lock_before_it_reads(sqlite_url):
    """`busy_timeout` does not cover the upgrade of a transaction that has read; so none may begin by reading."""
    with JobStore.open(sqlite_url, patience_s=0.05) as store:
        store.create_schema()
        other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        entered = []

        with pytest.raises(StoreUnavailable):
            store._db.write(entered.append)

        other.close()
        assert entered == []


def test_a_retry_whose_commit_reply_was_lost_is_made_once(store, lose_answers):
    job_id = add(store, 4)
    write(store, lease_next(store), [failed(n) for n in range(4)], finished=True)
    lose_answers()

    assert store.retry(job_id) == 4

    assert [event.kind for event in store.events(job_id)].count("retried") == 1
    assert_books_balance(store, job_id)


@contextmanager
def no_file_may_grow():
    """As where the owner's share of a disk is used up: whatever this process writes to a file is refused."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_takes_no_more_is_unavailable_to_writers_only_and_costs_nothing_that_was_there(sqlite_url):
    with JobStore.open(sqlite_url) as store:
        store.create_schema()
        job_id = add(store, 8)
        lease = lease_next(store)
        with no_file_may_grow():
            with pytest.raises(StoreUnavailable, match="disk"):
                add(store, 8)
            with pytest.raises(StoreUnavailable, match="disk"):
                finish(store, lease)
            assert store.status(job_id).done == 0

        finish(store, lease)
        finish(store, lease_next(store))

        assert [job.job_id for job in store.jobs()] == [job_id]
        assert store.status(job_id).state is JobState.COMPLETED
        assert_books_balance(store, job_id)
