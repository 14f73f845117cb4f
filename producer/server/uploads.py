"""Pictures and videos that come with a request: kept under the hash of their bytes, in a folder of their tenant."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import BinaryIO

from producer.answers import Uploaded
from producer.errors import SourceUnsupported
from producer.sources.kinds import PICTURE_SUFFIXES, VIDEO_SUFFIXES, suffix_of

_CHUNK_BYTES = 2**20
_LONGEST_NAME = 255


def keep(folder: Path, name: str, content: BinaryIO) -> Uploaded:
    """Write one file below `folder` and say what a job names it by; the same bytes are kept once.

    The given name is only told, never used as a path: of it, the ending alone, which is one of a closed list.

    Raises:
        SourceUnsupported: its ending is no picture's and no video's.
    """
    shown = os.path.basename(name.replace("\\", "/"))[:_LONGEST_NAME]  # noqa: PTH119 (a name, not a path of ours)
    suffix = suffix_of(shown)
    if suffix not in PICTURE_SUFFIXES | VIDEO_SUFFIXES:
        known = ", ".join(sorted(PICTURE_SUFFIXES | VIDEO_SUFFIXES))
        raise SourceUnsupported(f"{shown!r} is not taken by its ending; expected one of {known}")
    folder.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    descriptor, part = tempfile.mkstemp(prefix=".", suffix=".part", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            while chunk := content.read(_CHUNK_BYTES):
                digest.update(chunk)
                size += file.write(chunk)
            os.fchmod(file.fileno(), 0o644)  # workers may be other users
        path = folder / f"{digest.hexdigest()}{suffix}"
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
    return Uploaded(shown, str(path), digest.hexdigest(), size)
