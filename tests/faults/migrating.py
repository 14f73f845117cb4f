"""`python -m tests.faults.migrating URL`: die at each statement of an upgrade, until one gets through.

Prints how many died. Each is a fork, so that Alembic is imported once; nothing was opened when it is made.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from sqlalchemy.engine.default import DefaultDialect

import migrations

#: Whatever an upgrade says to a database goes through these.
_CALLS = ("do_execute", "do_execute_no_params", "do_commit")


def upgrade_through_deaths(url: str) -> int:
    """Kill an upgrade before its first statement, its second, and so on; each leaves the old version."""
    before = migrations.current(url)
    for deaths in range(10_000):
        child = os.fork()
        if not child:
            _upgrade_and_die(url, deaths + 1)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0, f"the upgrade failed after {deaths} deaths"
            return deaths
        found = migrations.current(url)
        assert found == before, f"killed at statement {deaths + 1}: version {found}, it was {before}"
    raise AssertionError("an upgrade has no end")


def _upgrade_and_die(url: str, at: int) -> None:
    left = [at]
    for name in _CALLS:
        setattr(DefaultDialect, name, _counted(getattr(DefaultDialect, name), left))
    migrations.upgrade(url)
    os._exit(0)


def _counted(call: Callable[..., Any], left: list[int]) -> Callable[..., Any]:
    def counted(*arguments: Any) -> Any:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments)

    return counted


if __name__ == "__main__":
    sys.stdout.write(str(upgrade_through_deaths(sys.argv[1])))
