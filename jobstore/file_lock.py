"""Who names files keeps them: while a transaction names some, nobody takes any away, and the other way round.

A job is looked for before its files are removed, and may be submitted between the look and the removal. So whoever
writes what needs files shares a lock until its transaction ends, and whoever removes some has it for himself while he
looks a last time and removes. SQLite has one writer at a time, which is that lock already.
"""

from __future__ import annotations

from sqlalchemy import Connection, func, select

#: Any number that no other program uses for its advisory locks in this database; "nsfiles" in ASCII.
_KEY = 0x6E7366696C6573


def name_files(db: Connection) -> None:
    """Begin a transaction that may need files from now on; waits for who removes some, which takes him a moment."""
    if db.dialect.name == "postgresql":
        db.execute(select(func.pg_advisory_xact_lock_shared(_KEY)))


def is_alone(db: Connection) -> bool:
    """Say whether nobody names files until this transaction ends; never waits, so that nobody waits behind it."""
    if db.dialect.name != "postgresql":
        return True
    return bool(db.execute(select(func.pg_try_advisory_xact_lock(_KEY))).scalar_one())
