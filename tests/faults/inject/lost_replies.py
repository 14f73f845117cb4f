"""Commits that go through and whose reply does not come."""

from __future__ import annotations

import random
from collections.abc import Callable


def lose_replies(share: float, rng: random.Random, is_lossy: Callable[[], bool] = lambda: True) -> None:
    """Raise after a share of this process's commits, as a driver does whose connection breaks then."""
    from sqlalchemy.engine.default import DefaultDialect

    original = DefaultDialect.do_commit

    def do_commit(self: object, connection: object) -> None:
        original(self, connection)
        if is_lossy() and rng.random() < share:
            raise _lost_reply(self)

    DefaultDialect.do_commit = do_commit


def _lost_reply(dialect: object) -> Exception:
    if dialect.name == "sqlite":
        import sqlite3

        lost = sqlite3.OperationalError("the reply to COMMIT was lost")
        lost.sqlite_errorcode = sqlite3.SQLITE_BUSY
        return lost
    import psycopg

    return psycopg.OperationalError("the connection was lost after COMMIT")
