"""Submitting a manifest of 100,000 items to SQLite: seconds, and memory of the submitting process.

python3 dev.py bench submit [--items 100000]
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

from jobstore.queues import queue_name
from jobstore.schema import JobSpec
from jobstore.store import JobStore
from producer.sources import expand


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    items = parser.parse_args().items
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder) / "manifest.csv"
        with manifest.open("w") as out:
            out.write("uri,camera\n")
            out.writelines(f"/pictures/camera_{n % 40:02d}/frame_{n:08d}.jpg,{n % 40}\n" for n in range(items))
        with JobStore.open(f"sqlite:///{folder}/jobs.db") as store:
            store.create_schema()
            started = time.perf_counter()
            job = store.add_job(JobSpec(model="digits"), expand([manifest]), lambda hw: queue_name(hw, "digits"))
            seconds = time.perf_counter() - started
            total = store.status(job).total
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{total:,} items accepted in {seconds:.2f} s ({total / seconds:,.0f}/s), peak memory {peak:.0f} MB")


if __name__ == "__main__":
    main()
