"""A job's size does not show in an exporter's memory."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import importlib.util, pathlib, sys
from producer.exports import Dataset, find_format
spec = importlib.util.spec_from_file_location("rows", sys.argv[1])
made = importlib.util.module_from_spec(spec)
spec.loader.exec_module(made)
from jobstore.views import JobStatus
job = JobStatus(**{name: None for name in JobStatus.__dataclass_fields__} | {"ok": 12000, "cached": 0, "now": 0.0})
def peak():  # in kB; not ru_maxrss, which carries over what the test process had
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
export, dest = find_format(sys.argv[2]).export, pathlib.Path(sys.argv[3])
def rows(count):
    return Dataset(job, {}, lambda: (made.make_row(n, f"/p/{n % 100}/{n}.jpg", 10) for n in range(count)))
export(rows(1000), dest)
before = peak()
export(rows(12_000), dest)
print(peak() - before)
"""


@pytest.mark.parametrize("name", ["coco", "csv", "cvat", "jsonl", "label-studio", "parquet"])
def test_memory_does_not_grow_with_the_job(tmp_path, name):
    arguments = [Path(__file__).with_name("conftest.py"), name, tmp_path]

    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True)

    # The COCO files have 40 MB, and their rows take more; a part may hold 8 MiB before it goes to disk.
    assert int(done.stdout) < 30_000
