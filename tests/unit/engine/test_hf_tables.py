"""Tables of the Hugging Face backend: against transformers' own values, and against the page that shows them."""

import re
from pathlib import Path

import pytest
import transformers

from inference_engine.hf_architectures import ROWS
from inference_engine.hf_processors import PROCESSORS


@pytest.mark.parametrize("name", sorted(set(PROCESSORS) - {"RfDetr", "VJEPA2"}))
def test_what_a_file_leaves_out_is_what_transformers_takes(name):
    theirs = getattr(transformers, f"{name}ImageProcessorPil")
    for key, value in PROCESSORS[name].items():
        said = getattr(theirs, key, None)
        said = tuple(said) if isinstance(said, list) else said
        assert said == value or (said is None and not value), key


def test_the_page_names_every_architecture_with_its_tasks_in_their_order():
    page = (Path(__file__).parents[3] / "docs" / "packages.md").read_text("utf-8")
    lines = [line.split("|")[1:3] for line in page.splitlines() if line.startswith("| `")]
    named = {
        (model_type, tuple(re.findall(r"`([^`]+)`", tasks)))
        for model_types, tasks in lines
        for model_type in re.findall(r"`([^`]+)`", model_types)
    }

    assert {(model_type, row.tasks) for (model_type, _), row in ROWS.items()} <= named
