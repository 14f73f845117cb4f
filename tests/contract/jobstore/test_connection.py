"""What a connection to PostgreSQL is told before anybody uses it."""

from sqlalchemy import text

from jobstore.store import JobStore


def test_postgres_compiles_no_statement_however_much_work_it_expects(postgres_url: str) -> None:
    with JobStore.open(postgres_url) as store:
        told = [use(lambda db: db.execute(text("SHOW jit")).scalar_one()) for use in (store._db.read, store._db.write)]
    assert told == ["off", "off"]
