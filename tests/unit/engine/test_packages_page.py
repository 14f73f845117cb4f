"""The page on model packages does what it says: its code runs, and prints what it shows."""

import contextlib
import io
import re
from pathlib import Path

from tests.unit.engine.test_exported_onnx import HEAD, LEFT

ROOT = Path(__file__).parents[3]
_BLOCKS = re.compile(r"```python\n(.*?)```\s*```text\n(.*?)```", re.DOTALL)


def test_the_code_of_the_page_prints_what_the_page_shows(write_onnx, tmp_path, monkeypatch):
    write_onnx(HEAD, "pets.onnx", metadata=LEFT)
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "packages.md").read_text(encoding="utf-8")
    blocks, names = _BLOCKS.findall(page), {"EXAMPLES": ROOT / "examples"}

    printed = []
    for code, _ in blocks:
        with contextlib.redirect_stdout(io.StringIO()) as output:
            exec(compile(code, "docs/packages.md", "exec"), names)  # noqa: S102 (the page is ours)
        printed.append(output.getvalue())

    assert page.count("```python") == len(blocks)
    assert printed == [shown for _, shown in blocks]
