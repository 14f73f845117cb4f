"""What a fault is; the list of all of them stands in `faults.py`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from jobstore.schema import JobId
from tests.faults.system import System, running
from tests.fixtures.databases import PostgresServer

MODES = ("embedded", "server")
SERVER, EMBEDDED = ("server",), ("embedded",)
#: States of a job that still has work.
OPEN = ("running", "canary")
Act = Callable[[System, JobId], None]
Stage = Callable[[str, Path, int, Callable[[], PostgresServer]], AbstractContextManager[System]]


def nothing(_: System, __: JobId) -> None:
    """The fault was prepared."""


def no_preparation(_: System) -> None:
    """The fault comes later."""


@dataclass(frozen=True)
class Fault:
    """One way to break the system.

    Attributes:
        inject: runs while the job does; returns when everything works again.
        lasts_s: seconds that the system may stand still by the fault's own doing.
        starts: starts of a process that the job may have to wait for, one after the other.
        prepare: acts before the machines start.
        check: looks at more than the books, after the job's end; raises AssertionError.
        submit: hands the pictures over.
        stage: starts the system.
        machines: started before the job.
        fails: picture -> error code that its outcome should have; every other picture should be labelled.
        needs: programs, and `root`; a machine without them cannot run the fault.
        is_quick: part of the selection that every change has to pass.
    """

    name: str
    title: str
    inject: Act
    modes: tuple[str, ...] = MODES
    lasts_s: float = 0.0
    starts: int = 0
    prepare: Callable[[System], None] = no_preparation
    check: Act = nothing
    submit: Callable[[System, int], JobId] = System.submit
    stage: Stage = running
    machines: int = 2
    fails: Mapping[int, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    is_quick: bool = True
    items: int = 1500

    @property
    def missing(self) -> str:
        """What this machine lacks to run it; empty: nothing."""
        return ", ".join(name for name in self.needs if not _is_there(name))


def _is_there(need: str) -> bool:
    return os.geteuid() == 0 if need == "root" else shutil.which(need) is not None
