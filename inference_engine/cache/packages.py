"""Fetched packages on disk, by content: each is there whole or not at all, and a damaged one is fetched again.

    packages/KEY/         the files, and nothing else: what a result is keyed by is a hash over this folder
    records/KEY.json      hash, size and time of each file, and whose package it is
    partial/KEY/          a fetch that is under way, or was cut short
    locks/KEY.lock        held while fetching; locks/KEY.use: held shared while a process has it open
    quarantine/KEY/       files that were damaged, for a person to look at

Two packages share no file, not even an equal one: a link between them would let one's damage reach the other, and
backends refuse linked files.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from inference_engine.cache.uses import hold
from inference_engine.downloads import replace_file, sync_folder, write_file
from inference_engine.errors import FileDamaged, ProviderUnavailable
from inference_engine.packages import digest_of, file_sha256
from inference_engine.remote_packages import RemoteFile, RemotePackage

logger = logging.getLogger(__name__)

LAYOUT = "v1"
Fetch = Callable[[RemoteFile, Path], str]


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as it was when it was verified."""

    sha256: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class StoredPackage:
    """A package's record."""

    model_id: str
    package_id: str
    provider: str
    files: Mapping[str, StoredFile]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())


class PackageCache:
    """The folder of fetched packages; any number of processes may use it at once.

    Args:
        folder: made when needed, for its owner only.
        lock_s: how long to wait for another process that fetches the same package.
    """

    def __init__(self, folder: Path, *, lock_s: float = 3600.0) -> None:
        self.root = folder / LAYOUT
        self._lock_s = lock_s

    def folder_of(self, key: str) -> Path:
        """Where a package lies."""
        return self.root / "packages" / key

    def use_of(self, key: str) -> Path:
        """The file whose lock says that a package is in use."""
        return self.root / "locks" / f"{key}.use"

    def stored_keys(self) -> list[str]:
        """Packages that have a record, sorted."""
        return sorted(path.stem for path in (self.root / "records").glob("*.json"))

    def record(self, key: str) -> StoredPackage | None:
        """A package's record; None where there is none that can be read."""
        try:
            data = json.loads((self.root / "records" / f"{key}.json").read_bytes())
            files = {name: StoredFile(**file) for name, file in data["files"].items()}
            return StoredPackage(data["model_id"], data["package_id"], data["provider"], files)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def digest(self, key: str) -> str:
        """What `ModelPackage.digest` was when the files were verified; empty without a record."""
        stored = self.record(key)
        return digest_of({name: file.sha256 for name, file in stored.files.items()}) if stored else ""

    def has(self, key: str) -> bool:
        """Whether it is there as it was verified, by size and time; `damaged` looks at the bytes."""
        stored = self.record(key)
        return stored is not None and all(
            _looks_like(self.folder_of(key) / name, file) for name, file in stored.files.items()
        )

    def bring(self, package: RemotePackage, extra: Mapping[str, bytes], fetch: Fetch | None) -> Path:
        """Give the package's folder, fetched by one process while the others wait.

        Args:
            extra: files that we add, where the provider has none of that name.
            fetch: puts a file into a folder, verified, and gives its sha256; None: offline.

        Raises:
            FileDamaged: a file came wrong twice.
            ProviderError: it cannot be fetched.
        """
        key = package.key
        self.prepare()
        hold(self.use_of(key))
        if self.has(key):
            return self.folder_of(key)
        with self._locked(key):
            if not self.has(key):
                self.heal(key)
            if not self.has(key):
                if fetch is None:
                    raise ProviderUnavailable(
                        f"{package.model_id}/{package.package_id} is not on disk, and this is offline"
                    )
                self._fetch(key, package, extra, fetch)
        return self.folder_of(key)

    def damaged(self, key: str) -> tuple[str, ...]:
        """Names of files whose bytes are not those that were verified, the missing ones included."""
        stored, folder = self.record(key), self.folder_of(key)
        if stored is None:
            return ("record",)
        return tuple(name for name, file in stored.files.items() if not _is_still(folder / name, file))

    def heal(self, key: str) -> bool:
        """Set damaged files and strangers aside, and say whether there were any.

        The good files of a damaged package are kept, so that the next fetch gets the rest.
        """
        stored, folder = self.record(key), self.folder_of(key)
        wrong = self.damaged(key)
        if stored is not None and not wrong:
            strangers = _strangers(folder, stored.files)
            for path in strangers:
                logger.warning("%s is no file of its package and is set aside", path)
                self._move(path, self.root / "quarantine" / key / path.relative_to(folder))
            self._write_record(key, stored)  # times may have changed, as by a copy of the folder; the bytes have not
            return bool(strangers)
        is_there = folder.is_dir()
        for path in sorted(folder.rglob("*")) if is_there else ():
            name = path.relative_to(folder).as_posix()
            keep = stored is not None and name in stored.files and name not in wrong
            if path.is_file():
                self._move(path, self.root / ("partial" if keep else "quarantine") / key / name)
        shutil.rmtree(folder, ignore_errors=True)
        (self.root / "records" / f"{key}.json").unlink(missing_ok=True)
        if is_there:
            logger.warning("package %s was damaged (%s) and is set aside", key[:12], ", ".join(wrong))
        return is_there

    def heal_alone(self, key: str) -> bool:
        """Like `heal`, while no other process fetches it."""
        with self._locked(key):
            return self.heal(key)

    def _fetch(self, key: str, package: RemotePackage, extra: Mapping[str, bytes], fetch: Fetch) -> None:
        partial = self.root / "partial" / key
        partial.mkdir(parents=True, exist_ok=True)
        hashes = {file.name: _once_more(fetch, file, partial) for file in package.files}
        for name, data in extra.items():
            if name not in hashes:
                write_file(partial / name, data)
                hashes[name] = file_sha256(partial / name)
        files = {name: _stored(partial / name, sha256) for name, sha256 in hashes.items()}
        for path in _strangers(partial, files):
            path.unlink()  # what an interrupted fetch left besides the package's files must not become part of it
        sync_folder(partial)
        self._write_record(key, StoredPackage(package.model_id, package.package_id, package.provider, files))
        replace_file(partial, self.folder_of(key))

    def _write_record(self, key: str, stored: StoredPackage) -> None:
        folder = self.folder_of(key) if self.folder_of(key).is_dir() else self.root / "partial" / key
        files = {name: _stored(folder / name, file.sha256) for name, file in stored.files.items()}
        record = StoredPackage(stored.model_id, stored.package_id, stored.provider, files)
        write_file(self.root / "records" / f"{key}.json", json.dumps(asdict(record), indent=1).encode())

    def prepare(self) -> None:
        """Make the folders, for their owner only: models may be private."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in ("packages", "records", "partial", "locks"):
            (self.root / name).mkdir(exist_ok=True)

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        self.prepare()
        lock = FileLock(self.root / "locks" / f"{key}.lock", timeout=self._lock_s)
        try:
            lock.acquire()
        except Timeout as error:
            raise ProviderUnavailable(
                f"another process has fetched this package for over {self._lock_s:g} s"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def _move(self, source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)


def _once_more(fetch: Fetch, file: RemoteFile, folder: Path) -> str:
    """A file that comes wrong is fetched a second time from its first byte; the second FileDamaged is final."""
    try:
        return fetch(file, folder)
    except FileDamaged as error:
        logger.warning("%s; fetched once more", error)
        return fetch(file, folder)


def _strangers(folder: Path, files: Mapping[str, StoredFile]) -> list[Path]:
    """What lies in a folder besides these files."""
    there = [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
    return [path for path in there if path.relative_to(folder).as_posix() not in files]


def _stored(path: Path, sha256: str) -> StoredFile:
    found = path.stat()
    return StoredFile(sha256, found.st_size, found.st_mtime_ns)


def _looks_like(path: Path, file: StoredFile) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    return (found.st_size, found.st_mtime_ns) == (file.size, file.mtime_ns)


def _is_still(path: Path, file: StoredFile) -> bool:
    return path.is_file() and path.stat().st_size == file.size and file_sha256(path) == file.sha256
