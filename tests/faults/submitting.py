"""A producer that is killed while it submits, and tries again with the same client token."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from signal import SIGKILL

import msgspec

from jobstore.dispatch import Doorbell
from jobstore.schema import ItemRef, JobId, JobSpec
from jobstore.store import JobStore
from producer.direct import Direct
from tests.faults.system import ROOT, System, environment_of
from tests.fixtures.fleet import wait_until

#: A submit commits thrice: the look for the token, the job, the release of its first shards. From the third point on
#: the job is there, and a retry commits the look and the release.
POINTS = (
    *("commit.before:1", "commit.before:2", "commit.after:2"),
    *("commit.before:2", "commit.after:2", "Doorbell.ring.before:1", "Doorbell.ring.after:1"),
)
RANDOM_DEATHS = 2
#: Longer than a submit of some thousand items takes once its modules are loaded.
SUBMIT_S = 0.4


@dataclass(frozen=True)
class Submission:
    """What the process is told."""

    database_url: str
    broker_url: str
    spec: JobSpec
    items: list[ItemRef]
    mark: str


def submit_through_deaths(system: System, count: int) -> JobId:
    """Kill a submitting process at every point and at random, then let one through: there is one job."""
    mark = system.folder / "ready"
    told = Submission(
        system.worker_database_url,
        system.redis.url,
        system.spec(client_token=str(mark)),
        system.pictures(count),
        str(mark),
    )
    for number, point in enumerate(POINTS):
        once = system.folder / f"died_{number}"
        with _start(told, {"FAULT": point, "FAULT_ONCE": str(once)}) as process:
            assert process.wait(60) == -SIGKILL, f"a submit passed {point} alive, status {process.returncode}"
    for _ in range(RANDOM_DEATHS):
        mark.unlink(missing_ok=True)
        with _start(told, {}) as process:
            wait_until(mark.exists, 60, "a submitting process")
            system.pause(system.rng.uniform(0, SUBMIT_S))
            process.kill()
    with _start(told, {}) as process:
        answer, _ = process.communicate(timeout=60)
    (job,) = system.store.jobs()
    assert answer.decode() == job.job_id, f"the producer was told {answer!r}, the store has {job.job_id}"
    return job.job_id


def _start(told: Submission, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.submitting"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment_of(environment),
        cwd=ROOT,
    )
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(told))
    process.stdin.close()
    process.stdin = None
    return process


def main() -> None:
    """Submit what standard input says, and print the job's id."""
    told = msgspec.json.decode(sys.stdin.buffer.read(), type=Submission)
    producer = Direct(JobStore.open(told.database_url), Doorbell(told.broker_url))
    with open(told.mark, "w", encoding="ascii"):  # noqa: PTH123
        job_id = producer.submit(told.spec, told.items)
    sys.stdout.write(job_id)


if __name__ == "__main__":
    main()
