"""What providers said last about models: used when a provider does not answer, and offline. No URL and no key in it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from inference_engine.cache.packages import LAYOUT
from inference_engine.downloads import write_file
from inference_engine.errors import AnswerInvalid
from inference_engine.remote_packages import RemotePackage


def remember(folder: Path, provider: str, model_id: str, found_id: str, packages: tuple[RemotePackage, ...]) -> None:
    """Keep what a provider offers for a model."""
    record = {"model_id": found_id, "packages": [package.to_record() for package in packages]}
    write_file(_path(folder, provider, model_id), json.dumps(record, indent=1, default=str).encode())


def recall(folder: Path, provider: str, model_id: str) -> tuple[str, tuple[RemotePackage, ...]] | None:
    """The model's id and packages as they were told last; None where nothing usable is kept."""
    try:
        record = json.loads(_path(folder, provider, model_id).read_bytes())
        return record["model_id"], tuple(RemotePackage.from_record(package) for package in record["packages"])
    except (OSError, ValueError, KeyError, TypeError, AnswerInvalid):
        return None


def _path(folder: Path, provider: str, model_id: str) -> Path:
    name = hashlib.sha256(f"{provider}\0{model_id}".encode()).hexdigest()
    return folder / LAYOUT / "models" / f"{name}.json"
