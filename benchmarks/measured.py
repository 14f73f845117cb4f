"""Does strategy `measured` find the best setting, and what is it worth against plain ONNX Runtime?

    python benchmarks/measured.py [--budget 30] [--rounds 3] [--model digits|seeded|dynamic]

For each model: measure and choose; then sweep every candidate that agrees over every setting, which takes minutes; then
let the choice, the sweep's best and plain ONNX Runtime (float32, one picture a run, its own threads) run in turn. The
digits model has real pages; the others are an ONNX detector of about 5 GFLOP, made here from a seed, of fixed sides,
and of free ones on pictures of 1280 x 720.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from seeded_detector import write_detector

from inference_engine.images import Image
from inference_engine.loading import decide, open_candidate
from inference_engine.machine import Machine, probe_machine
from inference_engine.measurements import Setting
from inference_engine.measuring import measure
from inference_engine.model import VisionModel
from inference_engine.negotiation import Candidate, Decision, Wishes
from inference_engine.samples import generated_images
from inference_engine.sessions import SessionOptions
from inference_engine.timing import images_per_second, make_batches
from inference_engine.tuning import Limits, batch_sizes, openings
from nightshift.pages import load_scans, make_page

MODELS = Path(__file__).parents[1] / "models"
DUEL_ROUNDS, SLICE_S = 7, 0.4


@dataclass(frozen=True)
class Entry:
    """One setting of one candidate."""

    candidate: Candidate
    setting: Setting

    def __str__(self) -> str:
        c = self.candidate
        return f"{c.backend} {c.quantization} ({c.package_id}) at {self.setting}"


def pages(count: int) -> list[Image]:
    """Held-out pages of handwritten digits."""
    scans = load_scans("held_out")
    return [make_page(scans, np.random.default_rng([5, index])).image for index in range(count)]


@contextmanager
def opened(decision: Decision, entry: Entry) -> Iterator[VisionModel]:
    """One candidate open in one setting."""
    model = open_candidate(decision, entry.candidate, entry.setting.options(SessionOptions()))
    try:
        yield model
    finally:
        model.close()


def speed(model: VisionModel, entry: Entry, images: Sequence[Image], seconds: float = SLICE_S) -> float:
    """Images a second of the network alone."""
    tensors = [model.preprocess(image)[0] for image in images]
    batches = make_batches(tensors, entry.setting.batch)
    return images_per_second(model.session, batches, entry.setting.streams, seconds)


def sweep(decision: Decision, images: Sequence[Image], limits: Limits, rounds: int) -> dict[Entry, float]:
    """The best round of every setting of every candidate that agrees; one session open at a time."""
    entries = [
        Entry(candidate, Setting.of(opening, batch))
        for candidate in decision.candidates
        if candidate.verdict != "rejected" and candidate.measurement
        for options in {point.setting.variant: point.setting for point in candidate.measurement.curve}.values()
        for opening in openings(candidate.device, limits, options.options(SessionOptions()))
        for batch in batch_sizes(decision.packages[candidate.package_id], candidate.device, None)
    ]
    found: dict[Entry, float] = dict.fromkeys(entries, 0.0)
    for _ in range(rounds):
        for entry in entries:
            with opened(decision, entry) as model:
                found[entry] = max(found[entry], speed(model, entry, images, SLICE_S / 2))
    return found


def duel(decision: Decision, images: Sequence[Image], entries: Sequence[Entry]) -> list[float]:
    """The best of some rounds in turn, so that what else the machine does falls on all alike."""
    best = [0.0] * len(entries)
    for _ in range(DUEL_ROUNDS):
        for index, entry in enumerate(entries):
            with opened(decision, entry) as model:
                best[index] = max(best[index], speed(model, entry, images))
    return best


def report(reference: str, images: Sequence[Image], machine: Machine, arguments: argparse.Namespace) -> None:
    """Measure, sweep, duel, print."""
    limits = Limits(machine.cpu_count, machine.cpu_count)
    decision = decide(reference, Wishes(), model_dirs=[MODELS], machine=machine)
    measured = measure(decision, images, arguments.budget, limits)
    print(f"\n{measured.model_id}: {len(images)} pictures, {measured.measured.seconds:.1f} s to choose")
    for c in measured.candidates:
        figures = c.measurement
        if figures:
            told = figures.agreement or "reference"
            print(f"  {c.verdict:9}{c.backend:9}{c.quantization:5}{figures.images_per_s:9.1f} images/s  {told}")
    chosen = Entry(measured.chosen, measured.chosen.measurement.setting)
    found = sweep(measured, images, limits, arguments.rounds)
    best = max(found, key=lambda entry: found[entry])
    plain = next(c for c in measured.candidates if (c.backend, c.quantization) == ("onnx", "fp32"))
    square = Entry(chosen.candidate, replace(chosen.setting, rectangular=False))
    entries = [chosen, best, Entry(plain, Setting(1, 1, 0)), *([square] if chosen.setting.rectangular else [])]
    speeds = duel(measured, images, entries)
    names = ("chosen", "best of sweep", "plain", "chosen, square")
    for name, entry, value in zip(names, entries, speeds, strict=False):
        print(f"  {name:14}{value:9.1f} images/s  {entry}")
    print(f"  chosen / best of the sweep of {len(found)} settings: {speeds[0] / speeds[1]:.3f} (wanted: 0.95 or more)")
    print(f"  chosen / plain ONNX Runtime fp32: {speeds[0] / speeds[2]:.2f} (wanted with bf16: 1.7 or more)")


def main() -> None:
    """Run both models, or one."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--budget", type=float, default=30.0, help="seconds to measure in")
    parser.add_argument("--rounds", type=int, default=2, help="rounds of the sweep")
    parser.add_argument("--model", choices=("digits", "seeded", "dynamic"), help="only this one")
    arguments = parser.parse_args()
    machine = probe_machine()
    print(f"{machine.cpu_name}, {machine.cpu_count} cores, {' '.join(machine.cpu_features)}")
    print(", ".join(f"{name} {version}" for name, version in sorted(machine.packages.items())))
    if arguments.model in ("digits", None):
        report("digits", pages(8), machine, arguments)
    for name, hw in (("seeded", (480, 640)), ("dynamic", (720, 1280))):
        if arguments.model in (name, None):
            with tempfile.TemporaryDirectory() as folder:
                gflop = write_detector(Path(folder) / name / "onnx-fp32", is_dynamic=name == "dynamic")
                print(f"\n{name} detector: {gflop:.1f} GFLOP a picture")
                report(str(Path(folder) / name), generated_images(8, hw, seed=1), machine, arguments)


if __name__ == "__main__":
    main()
