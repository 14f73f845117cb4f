"""`nightshift models bench`: the table, JSON, pictures of one's own, and what is said when nothing runs."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from inference_engine.errors import ImageUnreadable
from nightshift.cli import cli
from nightshift.pages import load_scans, make_page

PACKAGE = Path(__file__).parents[3] / "models" / "digits" / "onnx-fp32"
ONNX = str(PACKAGE)


def bench(*arguments):
    return CliRunner().invoke(cli, ["models", "bench", *arguments], standalone_mode=False)


@pytest.fixture
def pictures(tmp_path):
    scans = load_scans("held_out")
    for index in range(2):
        page = make_page(scans, np.random.default_rng([7, index])).image
        cv2.imwrite(str(tmp_path / f"{index}.png"), page[:, :, ::-1])
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def test_json_has_every_candidate_with_its_figures(pictures):
    done = bench(ONNX, "--images", str(pictures), "--budget", "2", "--json")
    found = json.loads(done.stdout)

    assert done.return_value == 0
    assert (found["strategy"], found["measured"]["source"], found["measured"]["images"]) == ("measured", "given", 2)
    assert {c["backend"] for c in found["candidates"]} >= {"onnx", "openvino"}
    assert found["chosen"]["measurement"]["images_per_s"] > 0


def test_the_table_names_setting_speed_agreement_and_verdict():
    done = bench(ONNX, "--budget", "1")

    header, first = done.stdout.splitlines()[:2]
    for column in ("package", "precision", "batch x streams x threads", "images/s", "agreement", "verdict", "reason"):
        assert column in header
    assert "chosen" in first
    assert "generated pictures" in done.stderr


def test_one_stream_is_all_that_a_plain_loop_has():
    found = json.loads(bench(ONNX, "--budget", "1", "--streams", "1", "--json").stdout)

    settings = [p["setting"] for c in found["candidates"] if c["measurement"] for p in c["measurement"]["curve"]]
    assert {setting["streams"] for setting in settings} == {1}


def test_a_short_budget_is_said():
    done = bench(ONNX, "--budget", "0")

    assert done.return_value == 0
    assert "not_measured" in done.stdout
    assert "was over before all had their turn" in done.stderr


def test_when_nothing_runs_the_table_has_the_reasons_and_the_status_is_5(tmp_path):
    folder = tmp_path / "model" / "package"
    folder.mkdir(parents=True)
    for file in PACKAGE.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "model_config.json").read_text(encoding="utf-8"))
    (folder / "model_config.json").write_text(json.dumps(config | {"backend_type": "coreml"}), encoding="utf-8")

    done = bench(str(folder))

    assert done.return_value == 5
    assert "unknown_kind" in done.stdout


def test_a_folder_without_pictures_and_a_damaged_one_are_said(tmp_path):
    assert "holds no picture" in str(bench(ONNX, "--images", str(tmp_path)).exception)

    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert isinstance(bench(ONNX, "--images", str(tmp_path)).exception, ImageUnreadable)


def test_models_alone_still_lists():
    assert "digits" in CliRunner().invoke(cli, ["models"]).output
    assert json.loads(CliRunner().invoke(cli, ["models", "--json"]).output.splitlines()[0])["model"]
