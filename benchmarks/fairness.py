"""Many small jobs beside one large one, and a small job behind a huge one: what sharing the machine costs each.

    python3 dev.py bench fairness [--jobs 500] [--tenants 20] [--huge 100000] [--rounds 3]

First: `--jobs` jobs of one image from `--tenants` tenants, against one job of as many images; the ratio of images/s
says what batching and dispatch across jobs lose. Then: one tenant's huge job runs, another tenant hands over 100
images; the ratio says how much longer he waits than alone. Each round has both, the huge job paused for the one, and a
tenant that was never there before, because machines change speed under us; told is the median of the rounds' ratios.
Submitting is part of neither: all jobs stand in SQL before the clock starts, and one release rings for them.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from jobstore.dispatch import Doorbell
from jobstore.queues import queue_name
from jobstore.schema import RUNNABLE_STATES, ItemRef, JobId, JobSpec
from jobstore.store import JobStore
from nightshift.pages import write_pages
from producer.direct import WINDOW

sys.path.insert(0, str(Path(__file__).parent))
from _system import DIGITS, running_system

LATECOMER_ITEMS = 100
_LOOK_S = 0.005
_WELL_UNDER_WAY = 200
#: The relay would start jobs before the clock does.
_NEVER_S = 86_400.0


@dataclass(frozen=True)
class Bench:
    """A running system and some pictures."""

    store: JobStore
    doorbell: Doorbell
    files: list[Path]

    def add(self, count: int, tenant: str) -> JobId:
        """Put a job into SQL; no worker hears of it before `ring`."""
        refs = (ItemRef(str(self.files[index % len(self.files)])) for index in range(count))
        # Measured is the queue: the model is opened before, and canaries would be measured with it.
        spec = JobSpec(str(DIGITS), tenant=tenant, canary_items=0, use_cache=False)
        return self.store.add_job(spec, refs, lambda hardware: queue_name(hardware, spec.model))

    def ring(self) -> None:
        """Send the hints of what is due, and tell workers, as whoever submits does."""
        self.doorbell.ring(self.store.release(WINDOW))
        self.doorbell.announce_work()

    def wait(self, others: int = 0) -> None:
        """Wait until no more than `others` jobs run; one cheap question for all of them."""
        while sum(self.store.job_counts().get(state, 0) for state in RUNNABLE_STATES) > others:
            time.sleep(_LOOK_S)

    def run(self, counts: list[tuple[int, str]], others: int = 0) -> float:
        """Seconds from the first hint to the last job's end."""
        for count, tenant in counts:
            self.add(count, tenant)
        started = time.perf_counter()
        self.ring()
        self.wait(others)
        return time.perf_counter() - started


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder, running_system(Path(folder), relay_interval_s=_NEVER_S) as system:
        write_pages(Path(folder) / "pages", 64, seed=5)
        bench = Bench(system.store, system.doorbell, sorted((Path(folder) / "pages").glob("*.jpg")))
        bench.run([(64, "warm-up")])
        _many(bench, arguments)
        _behind(bench, arguments)


def _many(bench: Bench, arguments: argparse.Namespace) -> None:
    ratios = []
    for _ in range(arguments.rounds):
        one = bench.run([(arguments.jobs, "one")])
        many = bench.run([(1, f"tenant-{index % arguments.tenants}") for index in range(arguments.jobs)])
        ratios.append(one / many)
        print(f"one job of {arguments.jobs}: {one:.2f} s   {arguments.jobs} jobs of one: {many:.2f} s", flush=True)
    print(f"images/s of many jobs over one: {statistics.median(ratios):.2f}")


def _behind(bench: Bench, arguments: argparse.Namespace) -> None:
    huge, ratios = bench.add(arguments.huge, "huge"), []
    for number in range(arguments.rounds):
        bench.store.pause(huge)
        while any(row.leased for row in bench.store.fleet.queues()):
            time.sleep(_LOOK_S)
        alone = bench.run([(LATECOMER_ITEMS, f"alone-{number}")])
        bench.store.resume(huge)
        bench.ring()
        enough = bench.store.status(huge).done + _WELL_UNDER_WAY
        while bench.store.status(huge).done < enough:
            time.sleep(_LOOK_S)
        behind = bench.run([(LATECOMER_ITEMS, f"late-{number}")], others=1)
        ratios.append(behind / alone)
        print(f"{LATECOMER_ITEMS} images alone: {alone:.2f} s   behind {arguments.huge:,}: {behind:.2f} s", flush=True)
    bench.store.cancel(huge)
    print(f"wait behind over alone: {statistics.median(ratios):.2f}, at most {max(ratios):.2f}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--tenants", type=int, default=20)
    parser.add_argument("--huge", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
