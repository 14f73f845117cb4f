"""What a second run over the same folder costs, and what looking results up costs a first one.

    python3 dev.py bench incremental [--images 500] [--model PACKAGE]

CPU seconds of the worker processes, a thousand images: without the cache, with it while it is empty, with everything
known; beside them what reading and hashing alone take. The model is open before anything is measured.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from pathlib import Path

import psutil

from jobstore.schema import ItemRef, JobSpec
from nightshift.pages import write_pages

sys.path.insert(0, str(Path(__file__).parent))
from _system import DIGITS, RunningSystem, running_system


def cpu_s(system: RunningSystem) -> float:
    """CPU seconds that the worker processes have used so far."""
    used = [psutil.Process(pid).cpu_times() for pid in system.launcher.pids]
    return sum(times.user + times.system for times in used)


def measure(system: RunningSystem, model: str, files: list[Path], *, use_cache: bool) -> tuple[float, float, int]:
    """Give CPU and wall seconds a thousand images, and how many were taken over."""
    cpu, started = cpu_s(system), time.perf_counter()
    spec = JobSpec(model, canary_items=0, use_cache=use_cache)
    job = system.producer.wait(system.producer.submit(spec, [ItemRef(str(file)) for file in files]))
    if job.ok + job.cached != len(files):
        raise SystemExit(f"{job.failed} of {len(files)} images failed: {system.store.failures(job.job_id)[:1]}")
    scale = 1000 / len(files)
    return (cpu_s(system) - cpu) * scale, (time.perf_counter() - started) * scale, job.cached


def read_and_hash(files: list[Path]) -> float:
    """CPU seconds a thousand images, of one thread."""
    before = time.thread_time()
    for file in files:
        hashlib.sha256(file.read_bytes()).hexdigest()
    return (time.thread_time() - before) * 1000 / len(files)


def main() -> None:
    """Print a line a case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--model", default=str(DIGITS), help="package folder or weights file")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pages(folder / "pages", asked.images, seed=5)
        files = sorted((folder / "pages").glob("*.jpg"))
        size = sum(file.stat().st_size for file in files) / len(files)
        print(f"{len(files)} pages of {size / 1024:.0f} KiB; seconds for 1,000 images")
        with running_system(folder) as system:
            measure(system, asked.model, files[:8], use_cache=False)  # opens the model
            cases = [
                ("without the cache", measure(system, asked.model, files, use_cache=False)),
                ("cache empty", measure(system, asked.model, files, use_cache=True)),
                ("everything known", measure(system, asked.model, files, use_cache=True)),
            ]
            for title, (cpu, wall, cached) in cases:
                print(f"{title:<20} {cpu:7.2f} CPU, {wall:7.2f} wall, {cached} of {len(files)} taken over")
            print(f"{'reading and hashing':<20} {read_and_hash(files):7.2f} CPU")
            print(f"second run: {cases[2][1][0] / cases[0][1][0]:.1%} of the first run's CPU")
            kept = system.store.known.size()
            print(f"kept: {kept.results} results, {kept.size_bytes / max(1, kept.results):.0f} bytes each")


if __name__ == "__main__":
    main()
