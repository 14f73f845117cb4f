"""Which files are taken, and the account of those that are not."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import quote_from_bytes

from videos.options import VideoOptions

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
_MAX_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How sources are read.

    Attributes:
        limit: items at most, over all sources; None: all.
        schemes: what workers can read beside absolute paths; another scheme is refused before anything is submitted.
        video: which part of videos is taken, and into what parts it is cut.
    """

    limit: int | None = None
    schemes: frozenset[str] = frozenset({"file"})
    video: VideoOptions = field(default_factory=VideoOptions)


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
    """

    taken: int = 0
    skipped: int = 0
    videos: int = 0
    parts: int = 0
    links: int = 0
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
        if not self.skipped:
            return "passed over no file"
        kinds = ", ".join(f"{count} {suffix or 'without ending'}" for suffix, count in self.by_suffix.most_common(5))
        return f"passed over {self.skipped} file{'s' * (self.skipped > 1)}: {kinds}"


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
