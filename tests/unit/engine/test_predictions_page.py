"""The page on predictions does what it says, and names every task with its type and what is kept beside its record."""

import re

import pytest

from inference_engine.tasks import known_tasks, prediction_type
from tests.fixtures.doc_pages import DOCS, run_page

ROWS = re.findall(
    r"^\| `([a-z-]+)` \| `(\w+)`.*? \|(.*)\|$", (DOCS / "predictions.md").read_text("utf-8"), re.MULTILINE
)


def test_the_code_of_the_page_prints_what_the_page_shows():
    printed, shown = run_page("predictions.md")

    assert printed == shown


def test_every_task_has_one_row():
    assert sorted(task for task, _, _ in ROWS) == list(known_tasks())


@pytest.mark.parametrize(("task", "name", "blob"), ROWS, ids=[task for task, _, _ in ROWS])
def test_a_row_names_the_type_and_its_blob(task, name, blob):
    kind = prediction_type(task)

    assert kind.__name__ == name
    assert bool(blob.strip()) == hasattr(kind, "to_blob")
