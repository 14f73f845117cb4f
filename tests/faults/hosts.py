"""Several hosts for real: network namespaces with addresses of their own, on a bridge. Needs root.

services 10.77.0.1   Redis and PostgreSQL
east     10.77.0.2   a worker machine
west     10.77.0.3   a worker machine
here     10.77.0.254 the harness
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from jobstore.schema import JobId
from jobstore.store import JobStore
from tests.faults.system import LEASE_S, Machine, System
from tests.fixtures.databases import PostgresServer, postgres_binaries
from tests.fixtures.fleet import RestartableRedis, wait_until

BRIDGE = "nsfault0"
HERE, NETWORK = "10.77.0.254", "10.77.0.0/24"
ADDRESSES = {"nsfault-services": "10.77.0.1", "nsfault-east": "10.77.0.2", "nsfault-west": "10.77.0.3"}
SERVICES, *WORKER_HOSTS = ADDRESSES
_CLONE_NEWNET = 0x40000000
_DATABASE = "fleet"


@dataclass
class Hosts(System):
    """A system whose machines stand on two hosts, in turn."""

    started: int = 0

    def start_machine(self, environment: Mapping[str, str] | None = None) -> Machine:
        """Start a launcher on the host whose turn it is."""
        host = WORKER_HOSTS[self.started % len(WORKER_HOSTS)]
        self.started += 1
        with inside(host):
            return super().start_machine(environment)


@contextlib.contextmanager
def on_three_hosts(_: str, folder: Path, seed: int, __: Callable[[], PostgresServer]) -> Iterator[System]:
    """Build the network and start the servers on their host; all of it is gone afterwards."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(network())
        address = ADDRESSES[SERVICES]
        with inside(SERVICES):
            redis = RestartableRedis(folder, address)
            redis.start()
            stack.callback(redis.kill)
            server = PostgresServer(postgres_binaries(), listen=(address, NETWORK))
            stack.callback(server.stop)
            server.start()
        server.execute(f"CREATE DATABASE {_DATABASE}")
        store = stack.enter_context(JobStore.open(server.url(_DATABASE)))
        store.create_schema()
        url = f"postgresql+psycopg://nightshift@{address}:5432/{_DATABASE}?sslmode=disable&gssencmode=disable"
        system = Hosts(folder, redis, redis.url, store, url, seed, postgres=server)
        stack.callback(system.producer.close)
        stack.callback(system.stop)
        yield system


def cut_off(system: System, _: JobId) -> None:
    """Take a worker host from the network for three leases. Its packets vanish; no connection is closed."""
    place = system.rng.randrange(len(WORKER_HOSTS))
    host = WORKER_HOSTS[place]
    wait_until(lambda: _is_at_work(system, system.machines[place]), 60, f"work on {host}")
    _ip("link", "set", _cable(host), "down")
    system.pause(3 * LEASE_S)
    _ip("link", "set", _cable(host), "up")


def _is_at_work(system: System, machine: Machine) -> bool:
    at_work = {worker.pid for worker in system.store.fleet.workers() if worker.active}
    return not at_work.isdisjoint(machine.workers())


@contextlib.contextmanager
def network() -> Iterator[None]:
    """A bridge, and each host on it."""
    with contextlib.ExitStack() as stack:
        _remove()  # what a run that was killed left
        stack.callback(_remove)
        _ip("link", "add", BRIDGE, "type", "bridge")
        _ip("address", "add", f"{HERE}/24", "dev", BRIDGE)
        _ip("link", "set", BRIDGE, "up")
        for host, address in ADDRESSES.items():
            _ip("netns", "add", host)
            _ip("link", "add", _cable(host), "type", "veth", "peer", "name", "eth0", "netns", host)
            _ip("link", "set", _cable(host), "master", BRIDGE, "up")
            _ip("-n", host, "address", "add", f"{address}/24", "dev", "eth0")
            _ip("-n", host, "link", "set", "eth0", "up")
            _ip("-n", host, "link", "set", "lo", "up")
        yield


def _remove() -> None:
    for host in ADDRESSES:
        _ip("link", "delete", _cable(host), check=False)
        _ip("netns", "delete", host, check=False)
    _ip("link", "delete", BRIDGE, check=False)


def _cable(host: str) -> str:
    return f"nsf-{host.removeprefix('nsfault-')}"


def _ip(*words: str, check: bool = True) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


@contextlib.contextmanager
def inside(host: str) -> Iterator[None]:
    """This thread stands on a host: processes that it starts stay there, what other threads do stays here."""
    with open("/proc/thread-self/ns/net", "rb") as home, open(f"/run/netns/{host}", "rb") as there:  # noqa: PTH123
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(home.fileno())


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
