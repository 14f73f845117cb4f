"""Files from addresses into a folder, for writers of packages and providers: resumed, verified, whole or not there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from filelock import FileLock, Timeout

from inference_engine.downloads import Download, download
from inference_engine.errors import AnswerInvalid, DownloadRefused, ParameterInvalid, ProviderUnavailable
from inference_engine.remote_packages import FileHash, RemoteFile
from inference_engine.transport import Limits, check_url, make_client


def download_files_to_directory(
    target_dir: str | os.PathLike[str],
    files: Iterable[RemoteFile | tuple[str, str, str | None]],
    *,
    headers: Mapping[str, str] | None = None,
    allow_files_without_hash: bool = False,
    limits: Limits = Limits(),  # noqa: B008 (frozen)
    lock_s: float = 3600.0,
) -> dict[str, Path]:
    """Fetch files and give their paths by name.

    A file is at its place only when it is whole and its hash is right; what an interrupted call left is continued, and
    what is there already is only hashed. Processes that fetch into one folder take turns.

    Args:
        files: `RemoteFile` with its address as `source`, or `(name, address, md5 or None)`.
        headers: sent to every address; a redirect to another host loses its `Authorization`.
        allow_files_without_hash: fetch files that nothing can be verified by.
        limits: times, tries and sizes.
        lock_s: seconds to wait for another process's turn.

    Raises:
        ParameterInvalid: two files of one name, a name that leads out of the folder, or a hash that is none.
        DownloadRefused: a file has no hash, or is larger than the limit, or its address is not allowed.
        FileDamaged: the bytes are not what the hash says.
        ProviderError: a host refuses, or does not answer in time.
    """
    wanted = [_remote_file(file) for file in files]
    names = [file.name for file in wanted]
    if len(set(names)) < len(names):
        raise ParameterInvalid(f"expected files of different names, found {names[:20]}")
    for file in wanted:
        check_url(file.source, limits)
        if file.hash is None and not allow_files_without_hash:
            raise DownloadRefused(
                f"{file.name} has no hash to be verified by; to fetch it nevertheless: allow_files_without_hash=True"
            )
    folder = Path(target_dir)
    folder.mkdir(parents=True, exist_ok=True)
    # Beside the folder: in it, the lock would be a file of the package.
    lock = folder.with_name(f".{folder.name}.lock")
    try:
        with FileLock(lock, timeout=lock_s), make_client(limits) as client:
            for file in wanted:
                download(client, Download(file.source, dict(headers or {})), file, folder, limits)
    except Timeout as error:
        raise ProviderUnavailable(f"another process has fetched into {folder} for over {lock_s:g} s") from error
    return {name: folder / name for name in names}


def _remote_file(given: RemoteFile | tuple[str, str, str | None]) -> RemoteFile:
    if isinstance(given, RemoteFile):
        return given
    try:
        name, address, md5 = given
        return RemoteFile(name, address, FileHash("md5", md5.lower()) if md5 else None)
    except (AnswerInvalid, AttributeError, TypeError, ValueError) as error:
        raise ParameterInvalid(f"{given!r:.200}: expected (name, address, md5 or None): {error}") from error
