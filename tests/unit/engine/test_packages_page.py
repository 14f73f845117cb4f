"""The page on model packages does what it says: its code runs, and prints what it shows."""

from tests.fixtures.doc_pages import DOCS, run_page
from tests.unit.engine.test_exported_onnx import HEAD, LEFT


def test_the_code_of_the_page_prints_what_the_page_shows(write_onnx, tmp_path, monkeypatch):
    write_onnx(HEAD, "pets.onnx", metadata=LEFT)
    monkeypatch.chdir(tmp_path)

    printed, shown = run_page("packages.md", EXAMPLES=DOCS.parent / "examples")

    assert printed == shown
