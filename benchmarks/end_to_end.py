"""The whole system (Redis, SQL, one worker) beside a hand-written tight loop over the same ONNX file, in one run.

    python3 dev.py bench end_to_end [--model digits|FILE.onnx] [--photos FOLDER] [--images 500] [--rounds 3]

Prints images/s and CPU-seconds per 1,000 images. The system's CPU-seconds are those of every process it has: producer,
launcher with relay, worker and Redis. All sides are warm: model open, first run done. Rounds are interleaved, because
machines change speed under us, and the ratio is the median of the ratios within a round. The engine alone stands
between them, so that what queue and store cost is told apart from what the engine costs.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from inference_engine.opencv import import_cv2
from jobstore.schema import ItemRef, JobSpec
from nightshift.pages import write_pages
from producer.direct import Direct

sys.path.insert(0, str(Path(__file__).parent))
from _system import running_system
from engine_loop import EngineLoop
from tight_loop import TightLoop

ROOT = Path(__file__).resolve().parent.parent
PARAMS = {"confidence": 0.4, "iou_threshold": 0.5}


@dataclass(frozen=True)
class Reading:
    """One round of one side."""

    seconds: float
    cpu_seconds: float


def main() -> None:
    arguments = _arguments()
    weights = ROOT / "models/digits/onnx-fp32/model.onnx" if arguments.model == "digits" else Path(arguments.model)
    reference = str(weights.parent if arguments.model == "digits" else weights.absolute())
    cores = len(os.sched_getaffinity(0))
    import_cv2()
    with tempfile.TemporaryDirectory() as folder:
        files = _files(arguments, Path(folder))
        with running_system(Path(folder)) as system:
            loops = {name: TightLoop(weights, cores, name) for name in ("batches", "streams")}
            sides = {name: _loop(loop, files, Path(folder)) for name, loop in loops.items()}
            sides["engine"] = _loop(EngineLoop(reference, cores, PARAMS), files, Path(folder))
            sides["nightshift"] = _job(system.producer, reference, files)
            readings: dict[str, list[Reading]] = {name: [] for name in sides}
            for _, (name, run) in itertools.product(range(arguments.rounds + 1), sides.items()):
                readings[name].append(_measure(run))
    _report({name: rounds[1:] for name, rounds in readings.items()}, len(files))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="digits", help="'digits' or an ONNX file that names its classes")
    parser.add_argument("--photos", type=Path, help="folder of pictures, repeated; without it generated pages")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def _files(arguments: argparse.Namespace, folder: Path) -> list[Path]:
    if arguments.photos:
        found = sorted(
            p.absolute() for p in arguments.photos.iterdir() if p.suffix.lower() in {".jpg", ".jpeg", ".png"}
        )
    else:
        pages = folder / "pages"
        write_pages(pages, min(arguments.images, 200), seed=7)
        found = sorted(pages.glob("*.jpg"))
    return list(itertools.islice(itertools.cycle(found), arguments.images))


def _loop(loop: TightLoop | EngineLoop, files: Sequence[Path], folder: Path) -> Callable[[], None]:
    return lambda: loop.run(files, folder / "loop.jsonl")


def _job(producer: Direct, reference: str, files: Sequence[Path]) -> Callable[[], None]:
    # The loop's runtime, so that what is compared is the system and not the backend that it would choose.
    wishes = {"backend": "onnx"}
    spec = JobSpec(model=reference, params=PARAMS, wishes=wishes, use_cache=False)

    def run() -> None:
        status = producer.wait(producer.submit(spec, (ItemRef(str(path)) for path in files)), timeout_s=600)
        if status.ok != len(files):
            raise RuntimeError(f"expected {len(files)} labelled, got {status}")

    return run


def _measure(run: Callable[[], None]) -> Reading:
    cpu, started = _tree_cpu_seconds(), time.perf_counter()
    run()
    return Reading(time.perf_counter() - started, _tree_cpu_seconds() - cpu)


def _tree_cpu_seconds() -> float:
    me = psutil.Process()
    return sum(sum(process.cpu_times()[:2]) for process in (me, *me.children(recursive=True)))


def _report(readings: dict[str, list[Reading]], images: int) -> None:
    speed = {name: images / statistics.median(r.seconds for r in rounds) for name, rounds in readings.items()}
    cost = {name: statistics.median(r.cpu_seconds for r in rounds) * 1000 / images for name, rounds in readings.items()}
    floor = max(("streams", "batches"), key=speed.__getitem__)
    print(
        f"{images} images, {len(os.sched_getaffinity(0))} cores, medians of {len(next(iter(readings.values())))} rounds"
    )
    print(f"{'':22}{'images/s':>10}{'CPU-s / 1,000':>15}")
    labels = {"engine": "the engine alone", "nightshift": "nightshift"}
    for name in readings:
        label = labels.get(name, f"tight loop, {name}")
        print(f"{label:22}{speed[name]:10.1f}{cost[name]:15.2f}")
    for one, other in (("nightshift", floor), ("engine", floor), ("nightshift", "engine")):
        pairs = list(zip(readings[other], readings[one], strict=True))
        faster = statistics.median(base.seconds / ours.seconds for base, ours in pairs)
        dearer = statistics.median(ours.cpu_seconds / base.cpu_seconds for base, ours in pairs)
        compared = f"{one} / {other}"
        print(f"{compared:22}images/s x {faster:.3f}, CPU x {dearer:.3f} (medians of the rounds' ratios)")


if __name__ == "__main__":
    main()
