"""docs/guarantees.md names tests and faults; each is there. The list of mutants fits the source."""

import re

import pytest

from tests.faults.faults import FAULTS
from tests.faults.mutants import MUTANTS, mutated
from tests.faults.system import ROOT

PAGE = (ROOT / "docs/guarantees.md").read_text(encoding="utf-8")
ROWS = [line.split(" | ") for line in PAGE.splitlines() if line.startswith("| G")]


NAME = re.compile(r"^(?:async )?def (test_\w+)", re.MULTILINE)
KNOWN = {name for file in (ROOT / "tests").rglob("test_*.py") for name in NAME.findall(file.read_text("utf-8"))}
FAULT_NAMES = {fault.name.partition(" ")[0] for fault in FAULTS}


def test_the_page_has_every_guarantee_once_and_in_order():
    assert [row[0].strip("| ") for row in ROWS] == [f"G{number}" for number in range(1, 23)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip("| "))
def test_every_guarantee_names_what_would_falsify_it_and_all_of_it_exists(row):
    named = re.findall(r"`(test_\w+)`", row[2])
    faults = re.findall(r"\bF\d\d[a-z]?\b", row[2])

    assert named or faults
    assert set(named) <= KNOWN
    assert set(faults) <= FAULT_NAMES


def test_tests_that_are_named_elsewhere_on_the_page_exist():
    assert set(re.findall(r"`(test_\w+)`", PAGE)) <= KNOWN


def test_no_fault_is_left_out_of_the_page():
    assert {name for name in FAULT_NAMES if not re.search(rf"\b{name}\b", PAGE)} <= {"F26"}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutants_text_stands_once_in_the_source_and_its_tests_exist(mutant):
    source = (ROOT / mutant.file).read_text(encoding="utf-8")

    assert mutated(source, mutant) != source
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert (ROOT / file).is_file()
        assert not name or name in KNOWN


def test_there_are_twenty_mutants():
    assert [mutant.name for mutant in MUTANTS] == [f"M{number}" for number in range(1, 21)]


def test_what_needs_root_or_a_tracer_is_in_no_quick_selection():
    assert [fault.name for fault in FAULTS if fault.is_quick and fault.needs] == []
