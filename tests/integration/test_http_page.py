"""The page on HTTP, as written: its curl lines against a server with real workers."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import zipfile
from pathlib import Path

import pytest

from nightshift.pages import write_pages
from tests.fixtures.cli import start

ROOT = Path(__file__).parents[2]
DEADLINE_S = 150


@pytest.fixture
def up(tmp_path):
    """`nightshift up` on a free port; gives its address and its token."""
    folders = {f"NIGHTSHIFT_{name}_DIR": str(tmp_path / name.lower()) for name in ("DATA", "CACHE")}
    with start({**os.environ, **folders}, "up", "--port", "0", "--json") as process:
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)


def test_the_pages_lines_do_what_they_say(up, tmp_path):
    write_pages(tmp_path / "photos", 3, seed=5).unlink()
    script = "\n".join(re.findall(r"```bash\n(.*?)```", (ROOT / "docs/http.md").read_text(), re.DOTALL))
    known = {"NIGHTSHIFT": up["url"], "TOKEN": up["token"], "PHOTOS": str(tmp_path / "photos")}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path, env={**os.environ, **known}, capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert "event: end" in done.stdout
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 3
    with zipfile.ZipFile(tmp_path / "labels.zip") as archive:
        assert {"coco", "yolo", "manifest.json"} <= {Path(name).parts[0] for name in archive.namelist()}
    assert "nightshift_store_up 1.0" in (tmp_path / "metrics.txt").read_text()
    assert up["token"] not in done.stdout
