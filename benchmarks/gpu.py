"""What a CUDA device makes of one detector: precision, layout, compiling, CUDA graphs and runtimes, by batch size.

    python3 dev.py bench gpu [--device cuda:0] [--budget 300] [--seconds 1.0]

Makes a detector of 7 GFLOP a picture from a seed, runs it in every way that the machine has, compares each with the
CPU in fp32, and lets strategy `measured` choose. The figures go into `benchmarks/results`, one file a device, with
versions; the table in its README is made from the files. Without a CUDA device nothing is measured, and the exit status
is 2.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inference_engine.comparing import Reference, agreement_with, reference_of
from inference_engine.images import Fit, Image
from inference_engine.loading import decide, open_candidate
from inference_engine.machine import Machine, probe_machine
from inference_engine.measurements import Agreement, Setting
from inference_engine.measuring import measure
from inference_engine.model import VisionModel
from inference_engine.negotiation import Candidate, Decision, Wishes
from inference_engine.samples import generated_images
from inference_engine.sessions import SessionOptions, Tensors
from inference_engine.timing import images_per_second, make_batches
from inference_engine.tuning import Limits

RESULTS = Path(__file__).parent / "results"
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
#: Between these the README's table stands.
BEGIN, END = "<!-- table -->\n", "<!-- end of table -->\n"
_HEAD = (
    "| device | backend | precision | how | batch | images/s | agreement with the CPU |\n| --- |" + " --- |" * 6 + "\n"
)


@dataclass(frozen=True)
class Plan:
    """One way to run the model; every one runs all batches."""

    backend: str
    precision: str
    options: SessionOptions


@dataclass(frozen=True)
class Row:
    """What one way did at one batch size.

    Attributes:
        how: switches that are not as usual, and execution providers.
        images_per_s: of the network with its copies; 0 where it did not run.
        agreement: with the CPU in fp32, in words.
        error: why it did not run.
    """

    backend: str
    precision: str
    how: str
    batch: int
    images_per_s: float
    agreement: str = ""
    error: str = ""


def plans() -> Iterator[Plan]:
    """PyTorch plain, recorded, compiled and both, in three precisions; ONNX Runtime's providers."""
    for precision in ("fp32", "fp16", "bf16"):
        for compiles in (False, True):
            for records in (False, True):
                options = SessionOptions(compile=compiles, cuda_graphs=records, falls_back=False)
                yield Plan("torch", precision, options)
    yield Plan("torch", "fp32", SessionOptions(channels_last=False, cuda_graphs=True))
    yield Plan("onnx", "fp32", SessionOptions())
    for precision in ("fp32", "fp16"):
        yield Plan("onnx", precision, SessionOptions(execution_providers=("TensorrtExecutionProvider",)))


def measure_all(
    folder: Path, device: str, images: Sequence[Image], batches: Sequence[int], seconds: float, wanted: Sequence[Plan]
) -> Iterator[Row]:
    """Every plan at every batch size, the CPU in fp32 as the judge.

    Args:
        folder: of the packages `torch-fp32` and `onnx-fp32`.
        seconds: of one batch size of one plan.
    """
    decision = decide(str(folder), Wishes())
    judge = Candidate("torch-fp32", "torch", "cpu", "fp32", "runnable")
    with_cpu = open_candidate(decision, judge, SessionOptions())
    tensors, fits = _prepared(with_cpu, images)
    truth = reference_of(judge, with_cpu, [with_cpu.forward(one) for one in tensors], fits)
    for plan in wanted:
        yield from _measure_one(decision, plan, device, truth, images, batches, seconds)
    with_cpu.close()


def _measure_one(  # noqa: PLR0913, PLR0917 (one row's ingredients)
    decision: Decision,
    plan: Plan,
    device: str,
    truth: Reference,
    images: Sequence[Image],
    batches: Sequence[int],
    seconds: float,
) -> Iterator[Row]:
    candidate = Candidate(
        f"{plan.backend}-fp32", plan.backend, device, plan.precision, "runnable", is_lowered=plan.precision != "fp32"
    )
    how = ", ".join((*Setting.of(plan.options, 0).variant, *plan.options.execution_providers)) or "as usual"
    row = Row(plan.backend, plan.precision, how, 0, 0.0)
    try:
        model = open_candidate(decision, candidate, plan.options)
        tensors, fits = _prepared(model, images)
        said = str(agreement_with(truth, candidate, model, [model.forward(one) for one in tensors], fits) or "no box")
    except Exception as error:  # noqa: BLE001 (a runtime that is not there is a row of the table)
        yield replace(row, error=f"{type(error).__name__}: {error}".splitlines()[0])
        return
    for batch in batches:
        try:
            speed = images_per_second(model.session, make_batches(tensors, batch), 1, seconds)
            yield replace(row, batch=batch, images_per_s=round(speed, 1), agreement=said)
        except Exception as error:  # noqa: BLE001 (a batch that does not fit is a row as well)
            yield replace(row, batch=batch, agreement=said, error=f"{type(error).__name__}: {error}".splitlines()[0])
    model.close()


def _prepared(model: VisionModel, images: Sequence[Image]) -> tuple[list[Tensors], list[Fit]]:
    made = [model.preprocess(image) for image in images]
    return [tensors for tensors, _ in made], [fit for _, fit in made]


def choose(folder: Path, device: str, images: Sequence[Image], budget_s: float) -> dict[str, Any]:
    """What strategy `measured` takes."""
    chosen = measure(decide(str(folder), Wishes(device=device)), images, budget_s, Limits(1)).chosen
    if chosen is None or chosen.measurement is None:
        return {}
    agreement: Agreement | None = chosen.measurement.agreement
    return {
        "backend": chosen.backend,
        "precision": chosen.quantization,
        "setting": str(chosen.measurement.setting),
        "images_per_s": round(chosen.measurement.images_per_s, 1),
        "agreement": str(agreement or "reference"),
        "not_taken": [str(entry) for entry in chosen.measurement.not_taken],
    }


def record(machine: Machine, device: str, gflop: float, rows: Sequence[Row], chosen: dict[str, Any]) -> dict[str, Any]:
    """One file of results."""
    index = int(device.partition(":")[2] or 0)
    name = next((gpu.name for gpu in machine.gpus if gpu.index == index), machine.cpu_name)
    return {
        "device": name,
        "date": datetime.now(UTC).date().isoformat(),
        "driver": machine.driver_version,
        "cuda": machine.cuda_version,
        "python": platform.python_version(),
        "versions": dict(sorted(machine.packages.items())),
        "gflop": round(gflop, 2),
        "rows": [asdict(row) for row in rows],
        "measured_choice": chosen,
    }


def table(folder: Path) -> str:
    """The best batch of every way in every file of a folder, as Markdown."""
    lines = []
    for path in sorted(folder.glob("gpu-*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        best: dict[tuple[str, ...], dict[str, Any]] = {}
        for row in found["rows"]:
            key = row["backend"], row["precision"], row["how"]
            if key not in best or row["images_per_s"] > best[key]["images_per_s"]:
                best[key] = row
        for row in best.values():
            speed = f"{row['images_per_s']} | {row['agreement']}" if row["images_per_s"] else f"- | {row['error']}"
            way = f"{row['backend']} | {row['precision']} | {row['how']} | {row['batch']}"
            lines.append(f"| {found['device']} | {way} | {speed} |\n")
    return _HEAD + ("".join(lines) or "\nNo machine with a CUDA device has run it yet.\n")


def write_table(folder: Path) -> None:
    """Put the table between its marks in the folder's README."""
    readme = folder / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    readme.write_text(f"{before}{BEGIN}{table(folder)}{END}{rest.partition(END)[2]}", encoding="utf-8")


def main(arguments: Sequence[str] | None = None, machine: Machine | None = None) -> int:
    """Run all of it; 2 without a CUDA device."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--budget", type=float, default=300.0, help="seconds of strategy `measured`")
    parser.add_argument("--seconds", type=float, default=1.0, help="of one batch size of one way to run")
    given = parser.parse_args(arguments)
    machine = machine or probe_machine()
    if not machine.gpus:
        print(f"no CUDA device: nothing measured ({machine.problems.get('nvidia', 'no NVIDIA GPU')})")
        return 2
    # Only now: it imports PyTorch.
    from seeded_torch import write_packages

    images = generated_images(8, (480, 640), seed=1)
    with tempfile.TemporaryDirectory() as folder:
        gflop = write_packages(Path(folder) / "seeded")
        rows = []
        for row in measure_all(Path(folder) / "seeded", given.device, images, BATCHES, given.seconds, list(plans())):
            print(f"{row.backend:6}{row.precision:5}{row.batch:4} {row.images_per_s:9.1f}/s  {row.how}  {row.error}")
            rows.append(row)
        chosen = choose(Path(folder) / "seeded", given.device, images, given.budget)
    found = record(machine, given.device, gflop, rows, chosen)
    target = RESULTS / f"gpu-{re.sub('[^a-z0-9]+', '-', found['device'].lower())}.json"
    target.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    write_table(RESULTS)
    print(f"measured choice: {chosen}\nwritten: {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
