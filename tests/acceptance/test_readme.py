"""The README's Python runs as it is written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.acceptance
ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("code", BLOCKS, ids=["the engine alone", "a job"])
def test_the_readmes_python_runs_as_written(code, pages, tmp_path):
    (tmp_path / "demo-out/pages").mkdir(parents=True)
    for page in pages[:10]:
        shutil.copy(page, tmp_path / "demo-out/pages")
    (tmp_path / "models").symlink_to(ROOT / "models")
    (tmp_path / "readme.py").write_text(code)

    done = subprocess.run(
        [sys.executable, "readme.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NIGHTSHIFT_DATA_DIR": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "digits: object-detection" in done.stdout or "completed 10" in done.stdout


def test_the_demo_prints_its_table_and_leaves_results_and_a_gallery(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "nightshift", "demo", "--pages", "12", "-o", str(tmp_path / "out"), "--backend", "onnx"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    header, figures = [line.split() for line in done.stdout.splitlines() if line.strip()][-2:]
    found = dict(zip([header[0], "digits", *header[3:]], figures, strict=True))
    assert (found["pages"], found["failed"]) == ("12", "0")
    assert float(found["mAP50"]) > 0.9
    for name in ("results.jsonl", "coco/annotations.json", "previews/index.html", "manifest.json", "pages/truth.json"):
        assert (tmp_path / "out" / name).stat().st_size > 100
