"""What the committed table of families claims, and what the marks of the tests say."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from nightshift.cli import cli
from nightshift.docs_tables import ROOT, families_page
from nightshift.reached import Level, Reached, family_rows, highest, read_reached, unproven, write_reached

LOADS = Reached("yolo", "object-detection", "onnx", Level.LOADS)
AGREES = Reached("yolo", "object-detection", "onnx", Level.AGREES)


@pytest.fixture(scope="module")
def marked(tmp_path_factory):
    """What every marked test claims; only files that have the mark are collected."""
    path = tmp_path_factory.mktemp("marks") / "claims.json"
    files = [file for file in sorted((ROOT / "tests").rglob("test_*.py")) if "mark.reaches(" in file.read_text("utf-8")]
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", "-m", "reaches"]
    done = subprocess.run(
        [*command, "--collect-only", "--write-reached", str(path), *map(str, files)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return read_reached(path)


def test_the_committed_file_claims_no_more_than_marked_tests_do(marked):
    assert not unproven(read_reached(), marked)


def test_the_committed_file_leaves_nothing_out(marked):
    assert not unproven(marked, read_reached()), "python3 dev.py docs --families"


def test_a_mark_names_a_family_and_a_task_that_are_there(marked):
    known = {(row.family, row.task) for row in family_rows(())}

    assert {(row.family, row.task) for row in marked} <= known


@pytest.mark.parametrize(
    ("claimed", "is_proven"),
    [
        (LOADS, True),
        (AGREES, True),
        (Reached("yolo", "object-detection", "onnx", Level.ACCURATE), False),
        (Reached("yolo", "object-detection", "trt", Level.LOADS), False),
    ],
    ids=["below", "equal", "above", "another backend"],
)
def test_a_claim_needs_a_mark_of_its_level_or_above(claimed, is_proven):
    assert unproven([claimed], [AGREES, LOADS]) == ([] if is_proven else [claimed])


def test_the_highest_level_of_a_row_is_kept_in_any_order(tmp_path):
    assert highest([AGREES, LOADS]) == highest([LOADS, AGREES]) == (AGREES,)
    write_reached([LOADS, AGREES], tmp_path / "rows.json")
    assert read_reached(tmp_path / "rows.json") == (AGREES,)


def test_a_run_records_tests_that_pass_and_none_that_fail(tmp_path):
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["tests.fixtures.reaching"]')
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = reaches(family, task, backend, level)\n")
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        '@pytest.mark.reaches("yolo", "{task}", ("onnx", "trt"), "agrees")\n'
        '@pytest.mark.parametrize("task", ["good", "bad"])\n'
        'def test_it(task): assert task == "good"\n'
    )
    path = tmp_path / "rows.json"

    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--write-reached",
        str(path),
        "test_it.py",
    ]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": ""}, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1, done.stdout + done.stderr
    assert [(row.task, row.backend) for row in read_reached(path)] == [("good", "onnx"), ("good", "trt")]


def test_the_command_and_the_page_show_every_task_of_every_family():
    told = CliRunner().invoke(cli, ["models", "families"]).output
    page = families_page()

    for row in family_rows(read_reached()):
        assert row.task in told
        assert f"| `{row.family}` | `{row.task}` |" in page
    assert Path(ROOT / "docs/families.md").read_text(encoding="utf-8") == page
