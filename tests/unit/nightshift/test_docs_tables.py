from __future__ import annotations

from nightshift.docs_tables import main, pages


def test_no_generated_page_is_behind_the_code(capsys):
    assert main(["--check"]) == 0, capsys.readouterr().err


def test_each_code_stands_in_the_errors_page():
    (errors,) = [text for path, text in pages().items() if path.name == "errors.md"]
    for code in ("not_found", "image_truncated", "no_runnable_backend", "worker_lost", "lower_in_order", "lease_lost"):
        assert f"| `{code}` |" in errors
