"""The pages on the engine and on its developer tools do what they say: their code runs, and prints what they show."""

from inference_engine import architectures, families, providers
from tests.fixtures.doc_pages import DOCS, run_page
from tests.unit.engine.test_exported_onnx import HEAD, LEFT


def test_the_code_of_the_engines_page_prints_what_the_page_shows(tmp_path, monkeypatch):
    (tmp_path / "models").symlink_to(DOCS.parent / "models")
    monkeypatch.chdir(tmp_path)

    printed, shown = run_page("engine.md")

    assert printed == shown


def test_the_code_of_the_developers_page_prints_what_the_page_shows(write_onnx, tmp_path, monkeypatch):
    for module in (families, architectures, providers):
        monkeypatch.setattr(module, "_registered", {})
    write_onnx(HEAD, "pets.onnx", metadata=LEFT)
    monkeypatch.chdir(tmp_path)

    printed, shown = run_page("developer_tools.md")

    assert printed == shown
