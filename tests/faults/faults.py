"""Every fault: what it is called in the programme, how it is injected, and how long it lasts."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import time

from sqlalchemy import text

from jobstore.errors import StoreUnavailable
from jobstore.schema import JobId
from jobstore.store import JobStore
from tests.faults import bad_models, disks, hosts, messages, refusals, relaying, submitting
from tests.faults.fault import EMBEDDED, OPEN, SERVER, Act, Fault, no_preparation, nothing
from tests.faults.system import LEASE_S, RELAY_INTERVAL_S, System, running
from tests.fixtures.fleet import wait_until


def _kill_workers(times: int) -> Act:
    def inject(system: System, job_id: JobId) -> None:
        for _ in range(times):
            wait_until(system.worker_pids, 20, "a worker process")
            with contextlib.suppress(ProcessLookupError):
                os.kill(system.rng.choice(system.worker_pids()), signal.SIGKILL)
            system.pause(system.rng.uniform(0.2, 1.5))
            if system.store.state(job_id) not in OPEN:
                return

    return inject


def _kill_at_work(times: int) -> Act:
    """Only workers that hold a lease: each death is over a shard. Their launchers stay."""

    def inject(system: System, job_id: JobId) -> None:
        for _ in range(times):
            wait_until(lambda: _at_work(system) or system.store.state(job_id) not in OPEN, 60, "a worker at work")
            for pid in _at_work(system)[:1]:
                os.kill(pid, signal.SIGKILL)
                wait_until(lambda pid=pid: pid not in system.worker_pids(), 10, "its end")
        assert all(machine.is_alive for machine in system.machines), "a launcher ended with its worker"

    return inject


def _at_work(system: System) -> list[int]:
    with system.store._db._reader.connect() as database:
        busy = text("SELECT DISTINCT w.pid FROM workers w JOIN shards s ON s.owner = w.id WHERE s.state = 'leased'")
        found = set(database.execute(busy).scalars())
    return [pid for pid in system.worker_pids() if pid in found]


def _deaths_were_counted(system: System, job_id: JobId) -> None:
    """Deaths were counted, and no item's tries."""
    assert system.deaths(job_id) > 0, "workers died over their shards, and no death was counted"
    assert system.tries(job_id) == 1, "a worker's death used up a try of an item"


def _kill_machines(system: System, _: JobId) -> None:
    """The launcher goes; its workers follow by the parent-death signal."""
    machine = system.rng.choice(system.machines)
    workers = machine.workers()
    machine.process.kill()
    machine.process.wait()
    wait_until(lambda: not any(_is_running(pid) for pid in workers), 10, "the workers' end")


def _is_running(pid: int) -> bool:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123
        return file.read().rpartition(")")[2].split()[0] != "Z"
    return False


def _drain(system: System, _: JobId) -> None:
    for machine in list(system.machines):
        machine.process.terminate()
        assert machine.process.wait(20) == 0, f"drained with status {machine.process.returncode}"
        system.keep_machines()


def _freeze(system: System, _: JobId) -> None:
    """Longer than the lease, so that a zombie comes back; not while it holds SQLite's lock (decision 0010)."""
    pid = system.rng.choice(system.worker_pids())
    _stop_outside_a_transaction(system, pid)
    system.pause(2 * LEASE_S)
    os.kill(pid, signal.SIGCONT)


def _stop_outside_a_transaction(system: System, pid: int) -> None:
    while True:
        os.kill(pid, signal.SIGSTOP)
        with JobStore.open(system.worker_database_url, patience_s=0.5) as probe, contextlib.suppress(StoreUnavailable):
            probe.relay.forget_hints()
            return
        os.kill(pid, signal.SIGCONT)
        system.pause(0.01)


def _redis_empty(system: System, _: JobId) -> None:
    for _round in range(3):
        system.redis.kill()
        system.redis.start()
        system.pause(0.5)


def _redis_away(system: System, _: JobId) -> None:
    system.redis.kill()
    system.pause(3)
    system.redis.start()


def _flush(system: System, _: JobId) -> None:
    for _round in range(5):
        assert system.redis.ask("FLUSHALL").startswith(b"+OK")
        system.pause(system.rng.uniform(0.1, 0.6))


def _drop_keys(system: System, _: JobId) -> None:
    for key in ("unacked", "unacked_index", "unacked_mutex", "_kombu.binding.celery"):
        system.redis.ask(f"DEL {key}")
        system.pause(0.2)


def _stall_redis(system: System, _: JobId) -> None:
    system.redis.ask("CLIENT PAUSE 5000 ALL")
    system.pause(5)


def _cut_clients(system: System, _: JobId) -> None:
    for _round in range(20):
        system.redis.ask("CLIENT KILL TYPE normal")
        system.pause(0.2)


def _reset_redis(system: System, _: JobId) -> None:
    assert system.redis_proxy is not None
    for _round in range(10):
        system.redis_proxy.reset_all()
        system.pause(0.3)


def _half_open_redis(system: System, _: JobId) -> None:
    assert system.redis_proxy is not None
    system.redis_proxy.black_hole()
    system.pause(6)
    system.redis_proxy.pass_on()


def _lose_redis_replies(system: System, _: JobId) -> None:
    assert system.redis_proxy is not None
    for _round in range(10):
        system.redis_proxy.lose_replies(2)
        system.pause(0.3)
    system.redis_proxy.lose_replies(0)


def _replay(system: System, job_id: JobId) -> None:
    """Every hint three times, in any order, among them those of shards that ended long ago."""
    doorbell = system.producer._doorbell
    hints = []
    until = time.monotonic() + 3
    while time.monotonic() < until and system.store.state(job_id) in OPEN:
        hints += system.store.release(8)
        again = [hint for hint in hints for _ in range(3)]
        system.rng.shuffle(again)
        doorbell.ring(again[:60])
        system.pause(0.2)


def _crash_postgres(system: System, _: JobId) -> None:
    assert system.postgres is not None
    for _round in range(3):
        system.postgres.crash_and_restart()
        system.pause(1.0)


def _kill_backends(system: System, _: JobId) -> None:
    assert system.postgres is not None
    statement = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'nightshift'"
    for _round in range(15):
        system.postgres.execute(f"{statement} ORDER BY random() LIMIT 1")
        system.pause(0.15)


def _lose_database_replies(system: System, _: JobId) -> None:
    assert system.database_proxy is not None
    for _round in range(15):
        system.database_proxy.lose_replies(1)
        system.pause(0.2)
    system.database_proxy.lose_replies(0)


def _half_open_database(system: System, _: JobId) -> None:
    assert system.database_proxy is not None
    system.database_proxy.black_hole()
    system.pause(2 * LEASE_S)
    system.database_proxy.pass_on()


def _hold_write_lock(system: System, _: JobId) -> None:
    """Another process writes to the same SQLite file for longer than a lease."""
    path = system.worker_database_url.removeprefix("sqlite:///")
    connection = sqlite3.connect(path, timeout=20, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    system.pause(2 * LEASE_S)
    connection.execute("ROLLBACK")
    connection.close()


def _everything(system: System, _: JobId) -> None:
    """A power cut: servers that remember nothing, machines and, in server mode, the database, all at once."""
    for pid in system.worker_pids():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for machine in system.machines:
        machine.process.kill()
        machine.process.wait()
    system.redis.kill()
    if system.postgres is not None:
        system.postgres.crash_and_restart()
    system.redis.start()


def _nemesis(system: System, job_id: JobId) -> None:
    """Anything at any time, for half a minute."""
    chosen = [fault for fault in FAULTS if _is_for_nemesis(fault, system)]
    until = time.monotonic() + 30
    while time.monotonic() < until and system.store.state(job_id) in OPEN:
        system.rng.choice(chosen).inject(system, job_id)
        system.keep_machines()
        system.pause(system.rng.uniform(0.2, 2))


def _is_for_nemesis(fault: Fault, system: System) -> bool:
    """Whether it acts on a running system of any make, and is not nemesis herself."""
    is_plain = fault.prepare is no_preparation and fault.stage is running and fault.inject not in (nothing, _nemesis)
    return is_plain and not fault.needs and system.mode in fault.modes


def _point(place: str, number: int) -> Fault:
    """One process, whichever comes first, is killed at the n-th passing of a named point."""

    def prepare(system: System) -> None:
        system.environment = {"FAULT": f"{place}:{number}", "FAULT_ONCE": str(system.folder / "died")}

    def inject(system: System, job_id: JobId) -> None:
        mark = system.folder / "died"
        wait_until(lambda: mark.exists() or system.store.state(job_id) not in OPEN, 60, f"the death at {place}")
        assert mark.exists(), f"the point {place} was never passed {number} times"

    return Fault(
        f"F03 {place} #{number}",
        f"kill -9 at {place}, time {number}",
        inject,
        prepare=prepare,
        items=500,
        lasts_s=1,
        starts=2,
    )


#: Around everything that a worker or a relay says to SQL and Redis, and inside of what it computes.
POINTS = (
    ("Opener.open.before", 1),
    ("Opener.open.after", 1),
    ("VisionModel.preprocess.after", 40),
    ("VisionModel.forward.before", 60),
    ("VisionModel.postprocess.after", 90),
    ("JobStore.lease_shard.before", 3),
    ("JobStore.lease_shard.after", 3),
    ("JobStore.add_decisions.before", 1),
    ("JobStore.add_decisions.after", 1),
    ("JobStore.lease_beside.after", 1),
    ("JobStore.record_all.before", 4),
    ("JobStore.record_all.after", 4),
    ("JobStore.renew.after", 1),
    ("JobStore.release.after", 2),
    ("Repairs.expire_leases.after", 2),
    ("Doorbell.ring.before", 2),
    ("Doorbell.ring.after", 2),
    ("QoS.ack.before", 3),
    ("QoS.ack.after", 3),
    ("commit.before", 7),
    ("commit.after", 7),
    ("commit.before", 23),
    ("commit.after", 23),
    ("commit.before", 31),
    ("commit.after", 31),
)


def _lossy(system: System) -> None:
    system.environment = {"FAULT_LOSSY": "0.05", "FAULT_SEED": str(system.seed)}


def _skew(system: System) -> None:
    """One machine an hour ahead, one an hour behind; the database has the right time."""
    system.start_machine({"FAULT_CLOCK": "3600"})
    system.start_machine({"FAULT_CLOCK": "-3600"})


def _few_descriptors(system: System) -> None:
    """Its processes end before they work, or work: either way the other machine is none the worse for it."""
    system.start_machine({"FAULT_FILES": "40"})


#: What a launcher waits before the four starts that follow each other's death, all told (`workers.launch`).
_BACKOFFS_S = 0.5 + 1 + 2 + 4
FAULTS = (
    Fault("F01", "kill -9 of a worker, five times", _kill_workers(5), items=2500, lasts_s=4, starts=2),
    Fault(
        "F02", "kill -9 of workers at work, four times", _kill_at_work(4), check=_deaths_were_counted,
        items=2500, lasts_s=_BACKOFFS_S, starts=4, is_quick=False,
    ),
    Fault(
        "F04", "kill -9 at SQLite's writes, by strace", disks.kill_at_writes, EMBEDDED,
        lasts_s=4, starts=2, needs=("strace",), is_quick=False,
    ),
    Fault("F05", "kill -9 of a producer while it submits", nothing, submit=submitting.submit_through_deaths),
    Fault(
        "F06", "20 relays killed inside of their sweep, no other", relaying.kill_relays,
        prepare=relaying.without_relays, lasts_s=20 * RELAY_INTERVAL_S, starts=2, is_quick=False,
    ),
    Fault("F07", "kill -9 of a launcher", _kill_machines, starts=1),
    Fault("F08", "SIGTERM of each machine under load", _drain, starts=1),
    *bad_models.FAULTS,
    Fault("F11", "power cut: everything at once", _everything, lasts_s=3, starts=1),
    Fault("F12", "SIGSTOP for two leases, then SIGCONT", _freeze),
    Fault("F14", "clocks of two machines +1 h and -1 h", nothing, prepare=_skew, machines=0),
    Fault("F17", "Redis killed and back empty, three times", _redis_empty, lasts_s=2),
    Fault("F17b", "Redis away for 3 s", _redis_away, lasts_s=3, is_quick=False),
    Fault("F18", "FLUSHALL, five times", _flush),
    Fault("F18b", "kombu's own keys deleted", _drop_keys, is_quick=False),
    Fault("F19", "Redis stalls for 5 s", _stall_redis, lasts_s=5),
    Fault("F20", "every Redis connection cut, 20 times", _cut_clients, lasts_s=5),
    *refusals.FAULTS,
    Fault("F22", "replies of Redis lost", _lose_redis_replies, lasts_s=4),
    Fault("F22b", "Redis connections reset", _reset_redis, lasts_s=4, is_quick=False),
    # socket_timeout is 10 s: a blocked command is given up then, and not before.
    Fault("F23", "half-open connections to Redis for 6 s", _half_open_redis, lasts_s=18, is_quick=False),
    Fault("F24", "hints three times, shuffled, and old ones", _replay),
    Fault("F25", "a dozen kinds of malformed messages", messages.send_malformed),
    Fault("F26", "eight machines start at once", nothing, machines=8, starts=1, is_quick=False),
    Fault("F27", "PostgreSQL crashes, three times", _crash_postgres, SERVER, lasts_s=6),
    Fault("F28", "database connections terminated", _kill_backends, SERVER, lasts_s=3),
    Fault("F29", "replies of the database lost", _lose_database_replies, SERVER, lasts_s=4),
    Fault("F29b", "5 % of commits lose their reply", nothing, prepare=_lossy, lasts_s=4),
    Fault("F30", "half-open database for two leases", _half_open_database, SERVER, lasts_s=2 * LEASE_S),
    Fault("F31", "another process holds SQLite's lock", _hold_write_lock, EMBEDDED, lasts_s=2 * LEASE_S),
    Fault(
        "F33", "disk full under SQLite for two leases", disks.fill, EMBEDDED, stage=disks.on_small_disk,
        lasts_s=2 * LEASE_S + 2, needs=("root", "mount"), is_quick=False,
    ),
    Fault(
        "F33b", "a machine whose processes may have 40 descriptors", nothing, prepare=_few_descriptors, machines=1,
        lasts_s=30, starts=1, is_quick=False,
    ),
    Fault(
        "F34", "kill -9 at fsync and rename of an export", nothing, check=disks.kill_exports,
        needs=("strace",), is_quick=False, items=300,
    ),
    *(_point(place, number) for place, number in POINTS),
    Fault("F38", "anything at any time for 30 s", _nemesis, lasts_s=25, starts=2, is_quick=False, items=6000),
    Fault(
        "F41", "a host of a network cut off for three leases", hosts.cut_off, SERVER, stage=hosts.on_three_hosts,
        needs=("root", "ip"), is_quick=False, items=6000,
    ),
)  # fmt: skip
