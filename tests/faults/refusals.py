"""A Redis that is there and says no: no permission, no password, read only, no memory, no replica."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jobstore.schema import ItemRef, JobId
from tests.faults.fault import Act, Fault
from tests.faults.system import LEASE_S, System
from tests.fixtures.fleet import wait_until

_WORD = "secret"
#: Words -> what makes Redis refuse, and what makes it work again.
REFUSALS = {
    "no right to write": ("ACL SETUSER default -@write", "ACL SETUSER default +@write"),
    "a password": (f"CONFIG SET requirepass {_WORD}", f'AUTH {_WORD}\r\nCONFIG SET requirepass ""'),
    "a replica's answers": ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
    "no memory": ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
    "too few replicas": ("CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0"),
    "no right to our keys": ("ACL SETUSER default resetkeys ~others:*", "ACL SETUSER default allkeys"),
}
#: Long enough that a loop without a pause shows.
_LOOK_S = 4.0
#: Until what was in flight has ended, at most.
_SETTLE_S = 5.0
#: Share of a core that a process may take while it waits.
BUSY = 0.2
_ITEMS = 32


def _refuse(words: str) -> Act:
    refuse, allow = REFUSALS[words]

    def inject(system: System, job_id: JobId) -> None:
        long_there = _cpu_seconds(system).keys()  # what ends meanwhile starts again by the launcher's back-off
        with _said(system, refuse, allow):
            with _without_work(system, job_id):
                before = _cpu_seconds(system)
                system.pause(_LOOK_S)
                after = _cpu_seconds(system)
            pictures = sorted((system.folder / "pictures").iterdir())[:_ITEMS]
            later = system.producer.submit(system.spec(), [ItemRef(str(file)) for file in pictures])
        busy = {pid: (after[pid] - before[pid]) / _LOOK_S for pid in long_there & before.keys() & after.keys()}
        assert busy, "no process lived through it"
        assert all(share < BUSY for share in busy.values()), f"shares of a core while Redis refuses: {busy}"
        assert system.finish(later).ok == _ITEMS, "what was accepted meanwhile"

    return inject


@contextmanager
def _said(system: System, refuse: str, allow: str) -> Iterator[None]:
    """Have Redis refuse for the length of a block, old connections too."""
    assert system.redis.ask(refuse).startswith(b"+OK"), refuse
    system.redis.ask("CLIENT KILL TYPE normal")
    try:
        yield
    finally:
        assert b"-" not in (answer := system.redis.ask(allow)), answer


@contextmanager
def _without_work(system: System, job_id: JobId) -> Iterator[None]:
    """Pause the job, since workers find a shard now and then in SQL, whatever Redis says."""
    system.store.pause(job_id)
    wait_until(lambda: not any(row.leased for row in system.store.fleet.queues()), _SETTLE_S, "the end of all work")
    try:
        yield
    finally:
        system.store.resume(job_id)


def _cpu_seconds(system: System) -> dict[int, float]:
    """What launchers and workers have used so far, by process id."""
    used = {}
    for pid in [machine.process.pid for machine in system.machines] + system.worker_pids():
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            used[pid] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return used


FAULTS = tuple(
    Fault(
        f"F21{letter}",
        f"Redis refuses: {words}",
        _refuse(words),
        lasts_s=_SETTLE_S + _LOOK_S + LEASE_S,
        is_quick=False,
        starts=1,
    )
    for letter, words in zip(("", "b", "c", "d", "e", "f"), REFUSALS, strict=True)
)
