"""The tutorials can be followed: their blocks, run in an empty folder in their order, print what the pages show."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
_BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
DEADLINE_S = 120


@pytest.fixture
def reader(tmp_path) -> dict[str, str]:
    """The environment of somebody who begins: nothing set, nothing installed but nightshift, no index of packages."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NIGHTSHIFT_", "PIP_", "XDG_"))}
    site = tmp_path / "site"
    return {
        **kept,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(site)]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "NIGHTSHIFT_DATA_DIR": str(tmp_path / "data"),
        "NIGHTSHIFT_CACHE_DIR": str(tmp_path / "cache"),
        # `pip install .` builds with what is here and writes to a folder of this test.
        "PIP_TARGET": str(site),
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_QUIET": "2",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_a_tutorial_can_be_followed_from_its_first_block_to_its_last(page, reader, tmp_path):
    folder = tmp_path / "reader"
    folder.mkdir()
    said = None

    for language, name, text in _BLOCK.findall(page.read_text(encoding="utf-8")):
        if name:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        elif language == "shell":
            assert not said, f"the page does not show what this printed: {said}"
            said = printed_by(text, folder, reader)
        else:
            assert (language, text) == ("text", said)
            said = None

    assert not said


def printed_by(commands: str, folder: Path, environment: dict[str, str]) -> str:
    """Run a shell block as it stands; what it writes to its standard error is shown where it fails."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_there_is_a_tutorial_for_a_package_a_provider_and_a_family():
    assert [page.stem for page in PAGES] == ["custom_package", "family", "provider"]


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_a_tutorial_builds_upon_public_names_only(page):
    imported = re.findall(r"^(?:from|import) (inference_engine[\w.]*)", page.read_text("utf-8"), re.MULTILINE)

    assert set(imported) <= {"inference_engine", "inference_engine.developer_tools"}
