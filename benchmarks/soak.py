"""Memory of one worker process over many images, and over many models that are opened and closed.

    python3 dev.py bench soak [--images 20000] [--models 50]      (0: leave that part out)

Prints resident memory after each tenth. Growth is judged from the second tenth on: the first one fills arenas, the
database's cache and the interpreter's free lists.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

import psutil

from jobstore.schema import ItemRef, JobSpec
from nightshift.pages import write_pages

sys.path.insert(0, str(Path(__file__).parent))
from _system import DIGITS, RunningSystem, running_system

#: Bytes that open models may take: each load unloads the model before.
_ROOM_FOR_ONE = 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--models", type=int, default=50)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pages(folder / "pages", 64, seed=5)
        files = sorted((folder / "pages").glob("*.jpg"))
        if arguments.images:
            with running_system(folder) as system:
                _over_images(system, files, arguments.images)
        if arguments.models:
            with running_system(folder, model_bytes=_ROOM_FOR_ONE) as system:
                _over_models(system, files, folder / "models", arguments.models)


def _over_images(system: RunningSystem, files: list[Path], count: int) -> None:
    refs = (ItemRef(str(files[index % len(files)])) for index in range(count))
    job_id = system.producer.submit(JobSpec(str(DIGITS), canary_items=0, use_cache=False), refs)
    readings = []
    for tenth in range(1, 11):
        while system.producer.status(job_id).done < count * tenth // 10:
            time.sleep(0.1)
        readings.append(_resident(system))
        print(f"{count * tenth // 10:>8,} images  {readings[-1] / 2**20:8.1f} MiB", flush=True)
    system.producer.wait(job_id, timeout_s=60)
    print(f"growth over the last nine tenths: {100 * (readings[-1] / readings[1] - 1):+.1f} %")


def _over_models(system: RunningSystem, files: list[Path], folder: Path, count: int) -> None:
    readings = []
    for index in range(count):
        package = folder / f"copy-{index}"
        shutil.copytree(DIGITS, package)
        job_id = system.producer.submit(
            JobSpec(str(package), use_cache=False), [ItemRef(str(file)) for file in files[:4]]
        )
        system.producer.wait(job_id, timeout_s=60)
        readings.append(_resident(system))
        if (index + 1) % max(1, count // 10) == 0:
            print(f"{index + 1:>8} models  {readings[-1] / 2**20:8.1f} MiB", flush=True)
    settled = len(readings) // 5
    print(f"growth from model {settled + 1} to {count}: {100 * (readings[-1] / readings[settled] - 1):+.1f} %")


def _resident(system: RunningSystem) -> int:
    return sum(psutil.Process(pid).memory_info().rss for pid in system.launcher.pids)


if __name__ == "__main__":
    main()
