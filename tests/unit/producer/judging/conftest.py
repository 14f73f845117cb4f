"""A labelled picture, as a file in COCO's form."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def write(tmp_path):
    """Write a truth and give its path."""

    def made(truth):
        path = tmp_path / "truth.json"
        path.write_text(json.dumps(truth))
        return path

    return made
