import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlalchemy.exc import OperationalError

import migrations
from jobstore.connection import WRITES, make_engine
from jobstore.errors import SchemaOutdated, StoreUnavailable
from jobstore.store import JobStore
from jobstore.tables import SCHEMA_VERSION, metadata


@pytest.fixture
def connection(empty_database_url):
    engine = make_engine(empty_database_url).execution_options(**{WRITES: True})
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def shape_of(connection):
    """Everything the database says about its tables, constraints and indices included."""
    inspector = inspect(connection)
    parts = ("columns", "pk_constraint", "foreign_keys", "unique_constraints", "check_constraints", "indexes")
    return {
        (table, part): repr(sorted(map(told, named(getattr(inspector, f"get_{part}")(table)))))
        for table in sorted(inspector.get_table_names())
        for part in parts
    }


def told(part):
    """A part as text; the condition of a partial index is an object without a text of its own."""
    options = {name: str(value) for name, value in part.get("dialect_options", {}).items()}
    return repr({**part, "dialect_options": options})


def named(found):
    return found if isinstance(found, list) else [found]


def test_upgrade_head_makes_exactly_the_tables_of_the_metadata(empty_database_url, connection):
    migrations.upgrade(empty_database_url)

    assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_migrated_database_has_the_same_constraints_as_a_created_one(empty_database_url, connection):
    migrations.upgrade(empty_database_url)
    migrated = shape_of(connection)
    connection.rollback()
    migrations.downgrade(empty_database_url, "base")
    with JobStore.open(empty_database_url) as store:
        store.create_schema()

    assert shape_of(connection) == migrated


def test_the_tables_name_the_newest_revision_as_their_version():
    assert migrations.head() == SCHEMA_VERSION


def test_a_second_upgrade_changes_nothing(empty_database_url, connection):
    migrations.upgrade(empty_database_url)
    before = shape_of(connection)
    connection.rollback()

    migrations.upgrade(empty_database_url)

    assert shape_of(connection) == before
    assert migrations.current(empty_database_url) == SCHEMA_VERSION


def test_an_empty_database_has_no_revision(empty_database_url):
    assert migrations.current(empty_database_url) is None


def test_downgrade_to_base_removes_every_table(empty_database_url, connection):
    migrations.upgrade(empty_database_url)

    migrations.downgrade(empty_database_url, "base")

    assert set(inspect(connection).get_table_names()) <= {"alembic_version"}


def test_an_upgraded_database_passes_the_check(empty_database_url):
    migrations.upgrade(empty_database_url)

    with JobStore.open(empty_database_url) as store:
        store.check_schema()


def test_an_empty_database_is_refused(empty_database_url):
    with JobStore.open(empty_database_url) as store, pytest.raises(SchemaOutdated, match=r"nightshift db upgrade"):
        store.check_schema()


def test_a_database_of_another_version_is_refused(empty_database_url, connection):
    migrations.upgrade(empty_database_url)
    connection.execute(text("UPDATE alembic_version SET version_num = 'fff0'"))
    connection.commit()

    with (
        JobStore.open(empty_database_url) as store,
        pytest.raises(SchemaOutdated, match=rf"has fff0.*with {SCHEMA_VERSION}"),
    ):
        store.check_schema()


def test_a_failed_upgrade_leaves_nothing_behind(empty_database_url, connection):
    connection.execute(text("CREATE TABLE workers (id TEXT)"))
    connection.commit()

    with pytest.raises(Exception, match=r"already exists"):
        migrations.upgrade(empty_database_url)

    assert inspect(connection).get_table_names() == ["workers"]


def test_rows_of_the_first_version_survive_the_upgrade_and_the_way_back(empty_database_url, connection):
    migrations.upgrade(empty_database_url, "0001")
    row = {
        "id": "j",
        "tenant": "t",
        "name": "n",
        "model": "m",
        "params": "{}",
        "wishes": "{}",
        "hardware": "[]",
        "tags": "{}",
    }
    row |= {"priority": 3, "max_failure_rate": 0.5, "state": "running", "total": 7, "shards_left": 1, "created": 1.5}
    names = ", ".join(row)
    connection.execute(text(f"INSERT INTO jobs ({names}) VALUES (:{names.replace(', ', ', :')})"), row)  # noqa: S608
    connection.commit()

    migrations.upgrade(empty_database_url)
    found = connection.execute(text("SELECT priority, total, canary_items, max_failures FROM jobs")).one()
    connection.commit()
    migrations.downgrade(empty_database_url, "0001")

    assert tuple(found) == (3, 7, 0, None)
    assert connection.execute(text("SELECT priority, total, state FROM jobs")).one() == (3, 7, "running")


def test_a_workers_row_of_the_version_before_machines_survives_and_tells_none(empty_database_url, connection):
    migrations.upgrade(empty_database_url, "0005")
    row = {"id": "w", "host": "h", "hardware": "cpu", "device": "cpu", "state": "running", "queues": "[]"}
    row |= {"models": "[]", "pid": 7, "items_per_second": 0.5, "started": 1.5, "heartbeat": time.time()}
    names = ", ".join(row)
    connection.execute(text(f"INSERT INTO workers ({names}) VALUES (:{names.replace(', ', ', :')})"), row)  # noqa: S608
    connection.commit()

    migrations.upgrade(empty_database_url)

    with JobStore.open(empty_database_url) as store:
        assert [worker.worker_id for worker in store.fleet.workers()] == ["w"]
        assert store.fleet.machine_of_class("cpu") is None
        assert store.fleet.classes_seen(3600) == ["cpu"]
    migrations.downgrade(empty_database_url, "0005")
    assert connection.execute(text("SELECT id FROM workers")).one() == ("w",)


def test_an_upgrade_waits_for_its_turn_while_another_process_writes(sqlite_url, monkeypatch):
    tried = threading.Event()
    run = migrations.command.upgrade

    def upgrade(*args):
        try:
            run(*args)
        finally:
            tried.set()

    monkeypatch.setattr("migrations.command.upgrade", upgrade)
    writer = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
    writer.execute("BEGIN IMMEDIATE")

    with ThreadPoolExecutor(1) as threads:
        upgraded = threads.submit(migrations.upgrade, sqlite_url)
        assert tried.wait(30)
        writer.execute("COMMIT")
        upgraded.result(60)

    writer.close()
    assert migrations.current(sqlite_url) == SCHEMA_VERSION


def test_a_database_that_stays_busy_is_one_of_our_errors_and_keeps_its_schema(sqlite_url):
    writer = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreUnavailable, match=r"does not answer \(database is locked\)"):
        migrations.upgrade(sqlite_url, patience_s=0.1)

    writer.execute("COMMIT")
    writer.close()
    assert migrations.current(sqlite_url) is None


def test_an_upgrade_whose_reply_is_lost_is_found_done(empty_database_url, monkeypatch):
    run, replies = migrations.command.upgrade, []

    def lose_the_first_reply(*args):
        run(*args)
        replies.append(args)
        if len(replies) == 1:
            lost = sqlite3.OperationalError("database is locked")
            lost.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise OperationalError("COMMIT", None, lost)

    monkeypatch.setattr("migrations.command.upgrade", lose_the_first_reply)

    migrations.upgrade(empty_database_url)

    assert len(replies) == 2
    assert migrations.current(empty_database_url) == SCHEMA_VERSION
