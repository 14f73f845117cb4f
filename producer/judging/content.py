"""What an item's bytes are, whatever its name: their sha256."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from jobstore.views import ResultRow


def content_of(row: ResultRow) -> str | None:
    """The hash that the worker took, as hexadecimal digits; None where it took none."""
    found: str | None = getattr(row, "content", None)  # outcomes of older stores have no such field
    return found


def hash_file(uri: str) -> str | None:
    """The hash of a local file as it is now; None for other URIs and for files that cannot be read."""
    path = os.fsdecode(unquote_to_bytes(uri.removeprefix("file://"))) if uri.startswith("file://") else uri
    if "://" in path or not Path(path).is_file():
        return None
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
