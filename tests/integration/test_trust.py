"""Packages that can run code, through `nightshift run`: refused with the flag that admits them, run with it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from inference_engine.packages import read_package
from tests.fixtures.cli import DEADLINE_S, nightshift, start
from tests.fixtures.torch_exports import write_torch_export

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script(tmp_path) -> Path:
    return write_torch_export(ROOT / "models/digits/torch-fp32", tmp_path / "digits-script", "torch-script")


@pytest.fixture
def ink(tmp_path) -> Path:
    return shutil.copytree(ROOT / "examples/custom_detector", tmp_path / "ink")


def test_a_torchscript_package_runs_when_its_hash_is_given_and_else_the_refusal_says_so(environment, photos, script):
    digest = read_package(script).digest

    status, _, err = nightshift(environment, "run", str(photos), "-m", str(script))
    assert status == 5, err
    assert f"--trust {digest}" in err
    assert "NIGHTSHIFT_TRUST=true" in err

    status, out, err = nightshift(environment, "run", str(photos), "-m", str(script), "--trust", digest, "--json")
    assert status == 0, err
    report = json.loads(out)
    assert (report["state"], report["ok"], report["decisions"][0]["backend"]) == ("completed", 3, "torch")


def test_a_package_with_its_own_python_labels_pictures_when_the_operator_allows_it(environment, photos, ink):
    page = np.full((80, 100, 3), 255, np.uint8)
    page[20:40, 30:60] = 0
    for picture in photos.iterdir():
        picture.unlink()
    cv2.imwrite(str(photos / "page.png"), page)

    refused, _, err = nightshift(environment, "run", str(photos), "-m", str(ink))
    assert refused == 5, err
    assert "--allow-code" in err

    status, out, err = nightshift(environment, "run", str(photos), "-m", str(ink), "--allow-code", "--json")
    assert status == 0, err
    report = json.loads(out)
    assert (report["state"], report["ok"], report["objects"]) == ("completed", 1, 1)
    _, out, _ = nightshift(environment, "results", report["job_id"], "--json")
    assert json.loads(out)["record"]["xyxy"] == [[30, 20, 60, 40]]


def test_explain_shows_what_trust_would_change(environment, script):
    refused, out, err = nightshift(environment, "explain", str(script))
    trusted, shown, _ = nightshift(environment, "explain", str(script), "--trust", "all")

    assert (refused, trusted) == (5, 0)
    assert "untrusted" in out
    assert "--trust all" in err
    assert "untrusted" not in shown


def test_a_job_cannot_widen_what_the_workers_of_another_process_trust(environment, photos, script):
    with start(environment, "up", "--json", "--hardware", "cpu") as up:
        assert up.stdout is not None
        up.stdout.readline()
        status, _, err = nightshift(environment, "run", str(photos), "-m", str(script), "--trust", "all")
        up.terminate()
        up.communicate(timeout=DEADLINE_S)

    assert status == 2, err
    assert "set NIGHTSHIFT_TRUST" in err
    assert nightshift(environment, "jobs", "--json")[1] == ""
