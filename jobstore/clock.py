"""The database's clock as one SQL expression, so that no worker's clock ever decides over a lease."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Double
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

if TYPE_CHECKING:
    from sqlalchemy.sql.compiler import SQLCompiler


class db_now(FunctionElement[float]):  # noqa: N801 - read as the SQL function that it is
    """Seconds since the epoch by the database's clock, as DOUBLE."""

    type = Double()
    name = "db_now"
    inherit_cache = True


@compiles(db_now, "sqlite")
def _sqlite_now(_element: db_now, _compiler: SQLCompiler, **_options: Any) -> str:
    # 2440587.5 is the Julian day of 1970-01-01T00:00Z. `unixepoch('subsec')` needs SQLite 3.42, Debian 12 has 3.40.
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(db_now, "postgresql")
def _postgresql_now(_element: db_now, _compiler: SQLCompiler, **_options: Any) -> str:
    # Not now(): that is the transaction's beginning, and a transaction may have waited for a lock since.
    return "CAST(extract(epoch FROM clock_timestamp()) AS DOUBLE PRECISION)"
