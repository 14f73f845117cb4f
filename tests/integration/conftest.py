"""What commands are started with: an environment without settings of ours, and a folder of pictures."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture
def environment(tmp_path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NIGHTSHIFT_")}
    return {**kept, "NIGHTSHIFT_DATA_DIR": str(tmp_path / "data"), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def photos(tmp_path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(3):
        picture = np.random.default_rng(index).integers(0, 255, (120, 160, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{index}.png"), picture)
    return folder
