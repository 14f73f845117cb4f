"""From one path or URI to its items: one for a picture, one or more for a video."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fetching.errors import FetchDenied
from fetching.paths import open_regular
from fetching.policy import is_remote
from jobstore.schema import ItemRef
from producer.sources.checking import path_of
from producer.sources.kinds import SourceOptions, SourceReport, is_video
from videos.errors import VideoUnreadable
from videos.options import cut

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any


def items_of(
    uri: str, options: SourceOptions, report: SourceReport, metadata: Mapping[str, Any] | None = None
) -> Iterator[ItemRef]:
    """Give the items of one URI, in order.

    A video is opened only to be cut, for its length. One that cannot be read here is one item: the worker's error for
    it says more than a refusal of the whole job.
    """
    if not is_video(uri):
        yield ItemRef(uri, metadata)
        return
    report.videos += 1
    for clip in cut(
        options.video, None if options.video.segment_s is None else _duration_s(uri, options.policy.allowed_roots)
    ):
        report.parts += 1
        yield ItemRef(uri, metadata, clip)


def _duration_s(uri: str, roots: tuple[str, ...] | None) -> float | None:
    from videos.reading import Video

    if is_remote(uri):
        return None
    try:
        descriptor, _ = open_regular(path_of(uri), roots)
        with os.fdopen(descriptor, "rb") as file, Video(file) as video:
            return video.duration_s
    except (OSError, FetchDenied, VideoUnreadable):
        return None
