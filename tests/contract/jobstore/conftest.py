"""What several tests of the store's contract break."""

import sqlite3

import pytest
from sqlalchemy.exc import OperationalError

from jobstore import connection


@pytest.fixture
def lose_answers(monkeypatch):
    """Make the next `n` transactions commit and then fail, as when the connection breaks during COMMIT's reply."""
    state = {"left": 0}
    once = connection._once

    def lossy(engine, work):
        answer = once(engine, work)
        if state["left"]:
            state["left"] -= 1
            raise OperationalError("COMMIT", {}, busy())
        return answer

    monkeypatch.setattr(connection, "_once", lossy)
    return lambda n=1: state.update(left=n)


def busy():
    """Give what SQLite raises when another has the lock."""
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return error
