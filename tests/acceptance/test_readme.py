"""The README's Python runs as it is written."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.installing import Installation, install

pytestmark = pytest.mark.acceptance
ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def stranger(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Somebody who has the wheel, and no checkout."""
    return install(wheel, tmp_path_factory.mktemp("stranger"), ["server"])


@pytest.mark.parametrize(
    ("code", "end"),
    [(BLOCKS[0], "<digits: object-detection, 10 classes, onnx fp32 on cpu>"), (BLOCKS[1], "completed 10 ")],
    ids=["the engine alone", "a job"],
)
def test_the_readmes_python_runs_as_written_where_only_the_wheel_is(code, end, pages, stranger):
    (stranger.home / "demo-out/pages").mkdir(parents=True, exist_ok=True)
    for page in pages[:10]:
        shutil.copy(page, stranger.home / "demo-out/pages")
    (stranger.home / "readme.py").write_text(code)

    assert end in stranger.shell("python readme.py")


def test_every_block_of_the_readme_is_run():
    assert len(BLOCKS) == 2


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
