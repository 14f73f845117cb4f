"""F32: upgrades that are killed, that race, and workers of another version than their database."""

import subprocess
import sys

import pytest
from sqlalchemy import text

import migrations
from jobstore.connection import WRITES, make_engine
from jobstore.tables import SCHEMA_VERSION
from tests.faults.system import ROOT, environment_of
from tests.fixtures.cli import nightshift

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

#: More than the tables that the second version adds; an upgrade of one statement would show nothing.
LEAST_DEATHS = 20
UPGRADE = "import sys, migrations; sys.stdin.read(); migrations.upgrade(sys.argv[1])"


@pytest.fixture
def connection(empty_database_url):
    """To a database of the first version that has a job."""
    migrations.upgrade(empty_database_url, "0001")
    engine = make_engine(empty_database_url).execution_options(**{WRITES: True})
    row = dict.fromkeys(("id", "tenant", "name", "model"), "x") | dict.fromkeys(("params", "wishes", "hardware"), "{}")
    row |= {"tags": "{}", "priority": 3, "max_failure_rate": 0.5, "state": "running", "total": 7, "shards_left": 1}
    row |= {"created": 1.5}
    names = ", ".join(row)
    with engine.connect() as connection:
        connection.execute(text(f"INSERT INTO jobs ({names}) VALUES (:{names.replace(', ', ', :')})"), row)  # noqa: S608
        connection.commit()
        yield connection
    engine.dispose()


def jobs(connection):
    found = connection.execute(text("SELECT id, priority, total, created FROM jobs")).all()
    connection.commit()
    return [tuple(row) for row in found]


def test_an_upgrade_that_is_killed_at_every_statement_leaves_the_old_version_and_then_goes_through(
    empty_database_url, connection
):
    command = [sys.executable, "-m", "tests.faults.migrating", empty_database_url]
    done = subprocess.run(command, env=environment_of({}), cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= LEAST_DEATHS
    assert migrations.current(empty_database_url) == SCHEMA_VERSION
    assert jobs(connection) == [("x", 3, 7, 1.5)]


def test_of_two_that_upgrade_at_once_one_does_it_and_both_succeed(empty_database_url, connection):
    command = [sys.executable, "-c", UPGRADE, empty_database_url]
    options = {"env": environment_of({}), "cwd": ROOT, "stdin": subprocess.PIPE}
    with subprocess.Popen(command, **options) as first, subprocess.Popen(command, **options) as second:
        for process in (first, second):  # what they need is imported by then
            process.stdin.close()

    assert (first.returncode, second.returncode) == (0, 0)
    assert migrations.current(empty_database_url) == SCHEMA_VERSION
    assert jobs(connection) == [("x", 3, 7, 1.5)]


def test_a_worker_of_an_older_version_refuses_a_newer_database(empty_database_url, tmp_path):
    migrations.upgrade(empty_database_url)
    engine = make_engine(empty_database_url).execution_options(**{WRITES: True})
    with engine.begin() as database:
        database.execute(text("UPDATE alembic_version SET version_num = 'fff0'"))
    engine.dispose()
    told = {"NIGHTSHIFT_DATABASE_URL": empty_database_url, "NIGHTSHIFT_BROKER_URL": "redis://127.0.0.1:1/0"}

    status, _, err = nightshift(environment_of({**told, "NIGHTSHIFT_DATA_DIR": str(tmp_path)}), "worker", "start")

    assert status != 0
    assert f"the database has fff0, this version works with {SCHEMA_VERSION}" in err
    assert migrations.current(empty_database_url) == "fff0"
