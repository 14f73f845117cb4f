"""Alembic migrations of the job store, to be run from code: `upgrade(url)`. Importing costs Alembic's import."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from jobstore.connection import make_engine

__all__ = ["current", "downgrade", "head", "upgrade"]


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database to `revision`; nothing happens where it is there already.

    All steps are one transaction, on SQLite too: an interrupted upgrade leaves the old schema.
    """
    command.upgrade(_config(url), revision)


def downgrade(url: str, revision: str) -> None:
    """Take the database back to `revision`; `base` removes every table with all that is in it."""
    command.downgrade(_config(url), revision)


def current(url: str) -> str | None:
    """Give the database's revision, or None where nothing was ever migrated."""
    engine = make_engine(url)
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()


def head() -> str:
    """Give the newest revision of this version."""
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    if newest is None:
        raise RuntimeError("the package `migrations` has no revision: it was installed without migrations/versions")
    return newest


def _config(url: str | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    # Not an option: those are interpolated, and a URL may hold a per cent sign.
    config.attributes["url"] = url
    return config
