"""Alembic migrations of the job store, to be run from code: `upgrade(url)`. Importing costs Alembic's import."""

from __future__ import annotations

import contextlib
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from jobstore.connection import Database

__all__ = ["current", "downgrade", "head", "upgrade"]


#: Seconds for which a database that is busy or does not answer is asked again.
PATIENCE_S = 15.0


def upgrade(url: str, revision: str = "head", *, patience_s: float = PATIENCE_S) -> None:
    """Bring the database to `revision`; nothing happens where it is there already.

    All steps are one transaction, on SQLite too: an interrupted upgrade leaves the old schema, and one of which only
    the reply was lost is found done by the next try.

    Raises:
        StoreUnavailable: the database is busy, or does not answer.
    """
    with _opened(url, patience_s) as database:
        database.retried(lambda: command.upgrade(_config(url), revision))


def downgrade(url: str, revision: str, *, patience_s: float = PATIENCE_S) -> None:
    """Take the database back to `revision`; `base` removes every table with all that is in it.

    Raises:
        StoreUnavailable: the database is busy, or does not answer.
    """
    with _opened(url, patience_s) as database:
        database.retried(lambda: command.downgrade(_config(url), revision))


def current(url: str, *, patience_s: float = PATIENCE_S) -> str | None:
    """Give the database's revision, or None where nothing was ever migrated.

    Raises:
        StoreUnavailable: the database does not answer.
    """
    with _opened(url, patience_s) as database:
        return database.read(lambda db: MigrationContext.configure(db).get_current_revision())


def head() -> str:
    """Give the newest revision of this version."""
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    if newest is None:
        raise RuntimeError("the package `migrations` has no revision: it was installed without migrations/versions")
    return newest


def _opened(url: str, patience_s: float) -> contextlib.closing[Database]:
    return contextlib.closing(Database(url, patience_s))


def _config(url: str | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    # Not an option: those are interpolated, and a URL may hold a per cent sign.
    config.attributes["url"] = url
    return config
