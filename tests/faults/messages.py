"""What others may write into our queues."""

from __future__ import annotations

import redis

from jobstore.queues import idle_queue
from jobstore.schema import JobId
from tests.faults.system import System
from tests.fixtures.fleet import wait_until
from tests.fixtures.poison import poison

KINDS_A_RUN = 12


def send_malformed(system: System, _: JobId) -> None:
    """Some of the kinds, each once: a row each, and no worker ends by it."""
    queue, marker = idle_queue("cpu"), system.folder / "unpickled"
    kinds = system.rng.sample(sorted(poison(queue, str(marker)).items()), KINDS_A_RUN)
    before = system.worker_pids()
    with redis.Redis.from_url(system.redis.url) as client:
        for _name, (_reason, entry) in kinds:
            client.lpush(queue, entry)
    wait_until(lambda: len(system.store.fleet.quarantined(100)) == len(kinds), 30, "a row for each malformed message")
    assert system.worker_pids() == before, "a malformed message ended a worker"
    assert not marker.exists(), "a pickle was loaded"
