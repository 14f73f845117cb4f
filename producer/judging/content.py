"""What an item's bytes are, whatever its name: their sha256."""

from __future__ import annotations

import hashlib

from producer.exports.pictures import PictureFailed, local_path


def hash_file(uri: str) -> str | None:
    """The hash of a local file as it is now; None for other URIs and for files that cannot be read."""
    try:
        with local_path(uri).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (PictureFailed, OSError):
        return None
