import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

import migrations
from jobstore.connection import WRITES, make_engine
from jobstore.errors import SchemaOutdated
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
        (table, part): repr(sorted(map(repr, named(getattr(inspector, f"get_{part}")(table)))))
        for table in sorted(inspector.get_table_names())
        for part in parts
    }


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
