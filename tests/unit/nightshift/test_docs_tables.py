from __future__ import annotations

from inference_engine.reasons import REASON_CODES, REASONS
from nightshift.docs_tables import ROOT, main, pages, reason_pages


def test_no_generated_page_is_behind_the_code(capsys):
    assert main(["--check"]) == 0, capsys.readouterr().err


def test_each_code_stands_in_the_errors_page():
    (errors,) = [text for path, text in pages().items() if path.name == "errors.md"]
    for code in ("not_found", "image_truncated", "no_runnable_backend", "worker_lost", "lower_in_order", "lease_lost"):
        assert f"| `{code}` |" in errors


def test_each_reason_code_has_a_page_and_no_other_page_is_there():
    written = {path.stem for path in (ROOT / "docs/reasons").glob("*.md")}

    assert written == {*REASON_CODES, "README"}


def test_a_reasons_page_says_what_it_means_with_an_example_and_what_to_do():
    for code, words in REASONS.items():
        text = reason_pages()[ROOT / f"docs/reasons/{code}.md"]
        assert text.startswith(f"# {code}\n")
        assert f"{code}: {words.example}" in text
        assert all((words.meaning, words.example, words.remedy.endswith("."))), code
