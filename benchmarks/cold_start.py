"""From the command to the label: `nightshift run` on one photo, and `AutoModel` alone, with a warm environment.

    python3 dev.py bench cold_start [--rounds 5]

The first starts Redis, a worker process and the model, labels one page, exports, and ends everything. The second is a
fresh Python that opens the starter model's ONNX package, from the start of the process to its end. Import times are
those of Python's own `-X importtime`, of the command and of the worker.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from nightshift.pages import write_pages

MODEL = Path(__file__).parents[1] / "models" / "digits" / "onnx-fp32"
OPEN = "import sys; from inference_engine import AutoModel; AutoModel.from_pretrained(sys.argv[1], backend='onnx')"
#: Without compiled files every start would compile every module anew, which no installation does.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
IMPORTS = (
    "numpy",
    "cv2",
    "onnxruntime",
    "torch",
    "celery",
    "kombu",
    "redis",
    "sqlalchemy",
    "pydantic_settings",
    "rich",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        page = write_pages(Path(folder) / "pages", 1).parent / "page_00000.jpg"
        for backend in ("onnx", "torch"):
            seconds = [_run(Path(folder), page, backend) for _ in range(rounds + 1)][1:]
            median, best = statistics.median(seconds), min(seconds)
            print(f"nightshift run, one photo, {backend:5}: median {median:.2f} s, best {best:.2f} s")
    seconds = [_open() for _ in range(rounds + 1)][1:]
    median, best = statistics.median(seconds), min(seconds)
    print(f"from_pretrained, fresh process, onnx: median {median:.2f} s, best {best:.2f} s (wanted: 0.6 or less)")
    for name in IMPORTS:
        print(f"import {name:18} {_import_ms(name):6.0f} ms")


def _run(folder: Path, page: Path, backend: str) -> float:
    command = [sys.executable, "-m", "nightshift", "run", str(page), "-m", "digits", "--backend", backend]
    started = time.perf_counter()
    subprocess.run(
        [*command, "-o", str(folder / "out"), "-f", "coco,jsonl"],
        env={**ENVIRONMENT, "NIGHTSHIFT_DATA_DIR": str(folder / "data")},
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - started


def _open() -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", OPEN, str(MODEL)], env=ENVIRONMENT, check=True)
    return time.perf_counter() - started


def _import_ms(name: str) -> float:
    command = [sys.executable, "-X", "importtime", "-c", f"import {name}"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    times = re.findall(rf"\|\s+(\d+) \| {name}\n", found.stderr)
    return int(times[-1]) / 1000 if times else float("nan")


if __name__ == "__main__":
    main()
