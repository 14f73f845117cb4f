"""Old uploads and downloads of a server are removed, as its operator wants; what a job needs stays, however old.

A job needs the uploads that its items are until it has ended, and longer while an export of it is to be made; a
schedule needs those that it names. Removing the same twice is harmless, so machines that share a folder may both do it;
a bucket, of which each look costs, is looked through by one process of the fleet at a time.
"""

from __future__ import annotations

import logging
import math
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from producer.kept_uploads import UploadBucket, UploadFolder, as_prune_failed, entries
from producer.scheduling import literal_sources
from producer.shelf import Shelf

if TYPE_CHECKING:
    from jobstore.store import JobStore
    from jobstore.upkeep import Look
    from producer.kept_uploads import Upload, UploadPlace

logger = logging.getLogger(__name__)

#: Seconds for which one process has the turn at a bucket.
TURN_S = 3000.0
#: Uploads that are held against all items at once, and exports against their rows.
_UPLOADS_AT_ONCE, _EXPORTS_AT_ONCE = 10_000, 500


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed, or would be.

    Attributes:
        needed: old uploads that stay, since a job or a schedule needs them.
        size_bytes: of uploads and exports together.
    """

    uploads: int = 0
    exports: int = 0
    size_bytes: int = 0
    needed: int = 0

    def __add__(self, other: Pruned) -> Pruned:
        return Pruned(
            self.uploads + other.uploads,
            self.exports + other.exports,
            self.size_bytes + other.size_bytes,
            self.needed + other.needed,
        )


@dataclass(frozen=True, slots=True)
class Pruner:
    """Removes what is older than it is kept.

    Attributes:
        folder: the server's folder, with its uploads and its shelf.
        bucket: `s3://bucket/prefix` of uploads; empty: there is none.
        uploads_kept_s: since a file was last sent; None: for ever.
        exports_kept_s: since an export that the server keeps was made; None: for ever.
        clock: seconds since the epoch, as the files' times are.
    """

    store: JobStore
    folder: Path
    bucket: str = ""
    uploads_kept_s: float | None = None
    exports_kept_s: float | None = None
    clock: Callable[[], float] = time.time

    def prune_due(self) -> int:
        """Remove what is old; give its number. A bucket is looked through if it is this process's turn.

        Raises:
            PruneFailed, StoreUnavailable: the next time does the rest.
        """
        places: list[UploadPlace] = [UploadFolder(self.folder / "uploads")]
        is_wanted = self.bucket and self.uploads_kept_s is not None
        if is_wanted and self.store.upkeep.take_turn(f"prune {self.bucket}", TURN_S):
            places.append(UploadBucket(self.bucket))
        done = self._prune(places, is_trial=False)
        if done.uploads or done.exports:
            said = {"event": "pruned", "uploads": done.uploads, "exports": done.exports, "bytes": done.size_bytes}
            logger.info("%d uploads and %d exports removed", done.uploads, done.exports, extra=said)
        return done.uploads + done.exports

    def prune(self, *, is_trial: bool = False) -> Pruned:
        """Remove what is old, or say what would be.

        Raises:
            PruneFailed, StoreUnavailable: some of it may be removed by then.
        """
        places: list[UploadPlace] = [UploadFolder(self.folder / "uploads")]
        places += [UploadBucket(self.bucket)] if self.bucket else []
        return self._prune(places, is_trial=is_trial)

    def _prune(self, places: Sequence[UploadPlace], *, is_trial: bool) -> Pruned:
        done = Pruned()
        if self.uploads_kept_s is not None:
            for place in places:
                done += self._prune_uploads(place, self.clock() - self.uploads_kept_s, is_trial=is_trial)
        if self.exports_kept_s is not None:
            with as_prune_failed(self.folder):
                done += self._prune_exports(self.exports_kept_s, is_trial=is_trial)
        return done

    def _prune_uploads(self, place: UploadPlace, before: float, *, is_trial: bool) -> Pruned:
        done = Pruned()
        old = (each for each in place.listing() if each.modified < before)
        while some := list(islice(old, _UPLOADS_AT_ONCE)):
            look = self.store.upkeep.look([each.name for each in some])
            free = self._not_needed(some, look)
            gone = free if is_trial else self._removed(place, free, look)
            size = sum(each.size_bytes for each in gone)
            done += Pruned(uploads=len(gone), size_bytes=size, needed=len(some) - len(gone))
        return done

    def _removed(self, place: UploadPlace, uploads: Sequence[Upload], before: Look) -> Sequence[Upload]:
        """Remove what nobody has begun to need since a look, and give it; while others always submit, less of it."""

        def remove(lot: Sequence[Upload]) -> Sequence[Upload]:
            free = self._not_needed(lot, self.store.upkeep.look([each.name for each in lot], before))
            place.remove(free)
            return free

        gone: list[Upload] = []
        left = iter(uploads)
        while lot := list(islice(left, place.at_once)):
            gone += self.store.upkeep.alone(partial(remove, lot)) or ()
        return gone

    def _not_needed(self, uploads: Sequence[Upload], look: Look) -> list[Upload]:
        named = [begin for each in self.store.schedules.list() for begin in literal_sources(each.job)]
        return [each for each in uploads if each.name not in look.needed and not each.uri.startswith(tuple(named))]

    def _prune_exports(self, kept_s: float, *, is_trial: bool) -> Pruned:
        shelf, done = Shelf.find(self.folder), Pruned()
        if shelf is None:
            return done
        kept = shelf.kept()
        while some := list(islice(kept, _EXPORTS_AT_ONCE)):
            ages = self.store.exports.ages([export_id for _, export_id in some])
            for tenant, export_id in some:
                paths = (shelf.place(tenant, export_id), shelf.archive(tenant, export_id))
                age = ages[export_id] if export_id in ages else self.clock() - _modified(paths)
                if age is None or age < kept_s:
                    continue
                size = sum(map(_bytes_of, paths))
                if not is_trial:
                    self.store.exports.forget(export_id)  # first, so that nobody is promised files that go
                    with suppress(FileNotFoundError):
                        shutil.rmtree(paths[0])
                    paths[1].unlink(missing_ok=True)
                done += Pruned(exports=1, size_bytes=size)
        return done


def _modified(paths: Sequence[Path]) -> float:
    """Give when one of the paths was changed last: an export without a row is as old as its files."""
    times: list[float] = []
    for path in paths:
        with suppress(FileNotFoundError):
            times.append(path.stat(follow_symlinks=False).st_mtime)
    return max(times, default=math.inf)  # another machine has just removed it


def _bytes_of(path: Path) -> int:
    """Give the bytes of a file, or of all below a folder; what vanishes meanwhile has none."""
    with suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            return sum(_bytes_of(Path(each.path)) for each in entries(path))
        return path.stat(follow_symlinks=False).st_size
    return 0
