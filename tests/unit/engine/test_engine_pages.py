"""The engine's pages do what they say: their code runs, and prints what they show."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from inference_engine import architectures, families, providers
from tests.unit.engine.test_exported_onnx import HEAD, LEFT

ROOT = Path(__file__).parents[3]
_BLOCKS = re.compile(r"```python\n(.*?)```\s*```text\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("name", ["engine", "packages", "developer_tools"])
def test_the_code_of_the_page_prints_what_the_page_shows(name, write_onnx, tmp_path, monkeypatch):
    for module in (families, architectures, providers):
        monkeypatch.setattr(module, "_registered", {})
    write_onnx(HEAD, "pets.onnx", metadata=LEFT)
    if name == "engine":
        (tmp_path / "models").symlink_to(ROOT / "models")
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    blocks, names = _BLOCKS.findall(page), {"EXAMPLES": ROOT / "examples"}

    printed = []
    for code, _ in blocks:
        with contextlib.redirect_stdout(io.StringIO()) as output:
            exec(compile(code, f"docs/{name}.md", "exec"), names)  # noqa: S102 (the page is ours)
        printed.append(output.getvalue())

    assert page.count("```python") == len(blocks)
    assert printed == [shown for _, shown in blocks]
