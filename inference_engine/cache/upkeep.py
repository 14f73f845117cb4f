"""Looking after the package cache: what is in it, what may go, what is damaged."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from inference_engine.cache.packages import PackageCache
from inference_engine.cache.uses import last_use, unused


@dataclass(frozen=True, slots=True)
class Entry:
    """A package in the cache.

    Attributes:
        last_used: seconds since 1970.
        is_in_use: a running process has it open.
    """

    key: str
    model_id: str
    package_id: str
    provider: str
    size: int
    last_used: float
    is_in_use: bool


def entries(cache: PackageCache) -> list[Entry]:
    """Every package, the one that was used last first."""
    return sorted(_entries(cache), key=lambda entry: (-entry.last_used, entry.key))


def prune(cache: PackageCache, max_bytes: int) -> list[Entry]:
    """Remove the least recently used until the rest fits; what is in use stays, even if it alone is too large.

    Fetches that were cut short and files in quarantine go when `max_bytes` is 0.

    Returns:
        What was removed.
    """
    listed = entries(cache)
    total = sum(entry.size for entry in listed)
    removed: list[Entry] = []
    for entry in reversed(listed):
        if total <= max_bytes:
            break
        if _remove(cache, entry.key):
            removed.append(entry)
            total -= entry.size
    if max_bytes == 0:
        _remove_leftovers(cache)
    return removed


def verify(cache: PackageCache) -> dict[str, tuple[str, ...]]:
    """Hash every file; a package that is damaged is set aside, so that its next use fetches it again.

    Returns:
        Key -> names of the damaged files, empty where all is well.
    """
    found = {key: cache.damaged(key) for key in cache.stored_keys()}
    for key, wrong in found.items():
        if wrong:
            cache.heal_alone(key)
    return found


def _entries(cache: PackageCache) -> Iterable[Entry]:
    for key in cache.stored_keys():
        stored = cache.record(key)
        if stored is None:
            continue
        with unused(cache.use_of(key)) as is_unused:
            pass
        yield Entry(
            key,
            stored.model_id,
            stored.package_id,
            stored.provider,
            stored.size,
            last_use(cache.use_of(key)),
            not is_unused,
        )


def _remove(cache: PackageCache, key: str) -> bool:
    with unused(cache.use_of(key)) as is_unused:
        if is_unused:
            # The record goes first: without it the folder counts as absent, should this process end here.
            (cache.root / "records" / f"{key}.json").unlink(missing_ok=True)
            shutil.rmtree(cache.folder_of(key), ignore_errors=True)
        return is_unused


def _remove_leftovers(cache: PackageCache) -> None:
    shutil.rmtree(cache.root / "quarantine", ignore_errors=True)
    for folder in _folders(cache.root / "partial"):
        with unused(cache.use_of(folder.name)) as is_unused:
            if is_unused:
                shutil.rmtree(folder, ignore_errors=True)


def _folders(parent: Path) -> list[Path]:
    return [path for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []
