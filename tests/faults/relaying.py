"""Relays that are killed inside of their sweep, each at another point of it, while no other relay runs.

`python -m tests.faults.relaying` is those relays as a process of its own, a machine's configuration on its standard
input; `FAULT_RELAYS` names the folder of their marks.
"""

from __future__ import annotations

import os
import sys
import threading
from importlib import import_module
from signal import SIGKILL

import msgspec

from jobstore.dispatch import Doorbell
from jobstore.schema import JobId
from jobstore.store import JobStore
from tests.faults.system import System
from tests.fixtures.fleet import wait_until
from workers.config import WorkerConfig
from workers.relay import Relay

#: The transactions of a tick and what it does between them; `commit.before` is inside of one, with its locks held.
POINTS = (
    *(f"commit.before:{number}" for number in (1, 2, 3, 5, 8)),
    *(f"commit.after:{number}" for number in (1, 2, 3, 5, 8)),
    *(f"Repairs.{name}.before:1" for name in ("expire_leases", "offer_stragglers")),
    *(f"Repairs.{name}.after:1" for name in ("expire_leases", "judge_jobs", "reroute", "requeue_lost")),
    *("JobStore.release.before:1", "JobStore.release.after:1"),
    *("Doorbell.ring.before:1", "Doorbell.ring.after:1"),
)  # fmt: skip
#: A machine's own relay ticks so seldom that the job sees none of them.
NEVER_S = 3600.0


def without_relays(system: System) -> None:
    """Leave the machines without a relay."""
    system.options |= {"relay_interval_s": NEVER_S}


def kill_relays(system: System, _: JobId) -> None:
    """Leave work behind that only a relay finds, let twenty relays die over it, then let one live."""
    wait_until(lambda: any(row.leased for row in system.store.fleet.queues()), 60, "a lease")
    for pid in system.worker_pids():
        os.kill(pid, SIGKILL)
    relay = system.start_relay({"FAULT_RELAYS": str(system.folder)})
    last = system.folder / f"relay_{len(POINTS) - 1}"
    wait_until(lambda: last.exists() or relay.poll() is not None, 120, f"{len(POINTS)} deaths of relays")
    assert relay.poll() is None, f"the relays ended: {system.log()}"


def main() -> None:
    """Die at each point, as a fork of this process, then tick until killed."""
    config = msgspec.json.decode(sys.stdin.buffer.read(), type=WorkerConfig)
    for module in ("celery.app.amqp", "kombu.transport.redis", "psycopg"):  # once, and not in every fork
        import_module(module)
    for number, point in enumerate(POINTS):
        child = os.fork()
        if not child:
            os.environ["FAULT_ONCE"] = f"{os.environ['FAULT_RELAYS']}/relay_{number}"
            import_module("sitecustomize")._install_kill(point)
            _tick(config)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == -SIGKILL, f"a relay passed {point} alive: status {status}"
    _tick(config)


def _tick(config: WorkerConfig) -> None:
    store, doorbell = JobStore.open(config.database_url), Doorbell(config.broker_url)
    relay = Relay(store, doorbell, config.window, config.resend_after_s, max_deaths=config.max_deaths)
    relay.run(threading.Event(), config.relay_interval_s)


if __name__ == "__main__":
    main()
