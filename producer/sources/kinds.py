"""Which files are taken, and the account of those that are not."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote_from_bytes

from fetching.policy import FetchPolicy
from videos.options import VideoOptions

if TYPE_CHECKING:
    from fetching.fetcher import Fetcher

#: Endings of the picture formats that workers read; letters' case does not matter.
PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".avif"}
)
#: Endings of the video containers that workers read.
VIDEO_SUFFIXES = frozenset(
    {
        ".mp4",
        ".m4v",
        ".mov",
        ".avi",
        ".mkv",
        ".webm",
        ".mpg",
        ".mpeg",
        ".wmv",
        ".flv",
        ".3gp",
        ".mts",
        ".m2ts",
        ".ogv",
    }
)
#: Names of the column or key that holds a manifest's item, best first; letters' case does not matter.
URI_KEYS = ("uri", "path", "image", "url", "file_name")
_MAX_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How sources are read.

    Attributes:
        limit: items at most, over all sources; None: all.
        policy: what is read here; the rest is refused before anything is submitted, and by the workers again.
        video: which part of videos is taken, and into what parts it is cut.
        include, exclude: patterns for what folders, patterns, prefixes and manifests bring: of the last name, or,
            where they hold a slash, of the way from the source. No `include` takes everything.
        since: only files and objects that were changed after this moment, in seconds since the epoch.
        moment: what `{date}` in a source means, with the time zone to be used; None: now, in the local zone.
        fetcher: reads remote lists and listings; None: one is made for each source.
    """

    limit: int | None = None
    policy: FetchPolicy = field(default_factory=FetchPolicy)
    video: VideoOptions = field(default_factory=VideoOptions)
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    since: float | None = None
    moment: datetime | None = None
    fetcher: Fetcher | None = None


@dataclass(slots=True)
class SourceReport:
    """What expanding took and what it passed over; filled while the items are read.

    Attributes:
        taken: items; a video that is cut into parts is several.
        videos: videos among them.
        parts: items that those came to.
        skipped: files passed over by their ending.
        by_suffix: how many of each ending; an empty text stands for none.
        examples: the first few paths passed over.
        links: folders reached a second time, by a symbolic link, and not entered again.
        unselected: what `include`, `exclude` or `since` left out.
        outside: links that lead out of the folders that are read here.
    """

    taken: int = 0
    skipped: int = 0
    videos: int = 0
    parts: int = 0
    links: int = 0
    unselected: int = 0
    outside: int = 0
    by_suffix: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def skip(self, path: str) -> None:
        """Count one file that is not taken."""
        suffix = suffix_of(path)
        self.skipped += 1
        self.by_suffix[suffix] += 1
        if len(self.examples) < _MAX_EXAMPLES:
            self.examples.append(path)

    def describe(self) -> str:
        """One sentence for people, for example `passed over 3 files: 2 .xml, 1 .txt`."""
        words = f"passed over {_files(self.skipped) if self.skipped else 'no file'}"
        if self.skipped:
            kinds = (f"{count} {suffix or 'without ending'}" for suffix, count in self.by_suffix.most_common(5))
            words += f": {', '.join(kinds)}"
        if self.unselected:
            words += f"; include, exclude and since left out {_files(self.unselected)}"
        if self.outside:
            words += f"; {_files(self.outside)} lie outside of the folders that are read here"
        return words


def _files(count: int) -> str:
    return f"{count} file{'s' * (count > 1)}"


def suffix_of(path: str) -> str:
    """The ending in lower case, with its dot."""
    return os.path.splitext(path)[1].lower()  # noqa: PTH122 - of a million names


def is_taken(path: str) -> bool:
    """Whether the ending is that of a picture format or a video container that workers read."""
    return suffix_of(path) in PICTURE_SUFFIXES | VIDEO_SUFFIXES


def is_video(path: str) -> bool:
    """Whether the ending is that of a video."""
    return suffix_of(path) in VIDEO_SUFFIXES


def to_uri(path: str) -> str:
    """The path itself, or a `file://` URI if its bytes are no UTF-8 and no database column could hold it."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return "file://" + quote_from_bytes(os.fsencode(path))
    return path
