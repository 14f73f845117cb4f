"""The policy's answer, in the producer's words."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from fetching.errors import FetchDenied, FetchError, FetchNotFound
from fetching.paths import check_inside
from fetching.policy import FetchPolicy, is_remote, scheme_of, shown
from producer.errors import (
    SourceDenied,
    SourceInvalid,
    SourceNotFound,
    SourceUnavailable,
    SourceUnreadable,
    SourceUnsupported,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def check_uri(uri: str, policy: FetchPolicy) -> None:
    """Refuse a path or URI that is not read here; asks nobody.

    Raises:
        SourceUnsupported: its scheme.
        SourceDenied: its host, bucket or folder, or credentials in it.
    """
    scheme = scheme_of(uri)
    if scheme not in policy.schemes:
        known = ", ".join(sorted(f"{name}://" for name in policy.schemes))
        words = f"{scheme[:20]}:// is not read; expected a path or {known}. Download it first"
        raise SourceUnsupported(f"{shown(uri)}: {words}")
    with as_source_error():
        if is_remote(uri):
            policy.check_remote(uri)
        elif policy.allowed_roots is not None:
            check_inside(path_of(uri), policy.allowed_roots)


def path_of(uri: str) -> str:
    """The path that a path or a file:// URI names.

    Raises:
        SourceDenied: it is on another host, or no path.
    """
    if not uri.lower().startswith("file://"):
        return uri
    host, slash, path = uri[len("file://") :].partition("/")
    if host not in {"", "localhost"} or not slash:
        raise SourceDenied(f"{shown(uri)} is not on this machine; expected file:///absolute/path")
    return os.fsdecode(unquote_to_bytes(slash + path))


def inside(policy: FetchPolicy) -> Callable[[str], bool]:
    """Give a function that says whether a path leads into the allowed folders; quick for files of one folder."""
    roots = policy.allowed_roots
    if roots is None:
        return lambda _: True
    known: list[tuple[str, bool]] = [("", False)]

    def is_inside(path: str) -> bool:
        folder = os.path.dirname(path)  # noqa: PTH120 - of a million names
        if os.path.islink(path):  # noqa: PTH114
            return _leads_into(path, roots)
        if known[0][0] != folder:
            known[0] = (folder, _leads_into(folder, roots))
        return known[0][1]

    return is_inside


@contextmanager
def as_source_error() -> Iterator[None]:
    """Turn an error of fetching into ours."""
    try:
        yield
    except FetchError as error:
        raise _kind(error)(str(error)) from error


def _kind(error: FetchError) -> type[SourceInvalid]:
    if isinstance(error, FetchDenied):
        return SourceDenied
    if isinstance(error, FetchNotFound):
        return SourceNotFound
    return SourceUnavailable if error.retryable else SourceUnreadable


def _leads_into(path: str, roots: tuple[str, ...]) -> bool:
    try:
        check_inside(path, roots)
    except FetchDenied:
        return False
    return True
