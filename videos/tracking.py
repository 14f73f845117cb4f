"""Tracks: which box of a frame shows the same object as a box of the frames before.

ByteTrack (Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box", ECCV 2022) as the
library `trackers` has it, with its own thresholds. Boxes are joined by where they are, whatever their class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

#: Tasks of which records have the boxes that tracking takes.
TRACKED_TASKS = frozenset(
    {"object-detection", "open-vocabulary-object-detection", "instance-segmentation", "keypoint-detection"}
)
MISSING = (
    "tracking needs the library trackers, which is not installed on this machine: pip install 'nightshift[track]', "
    "then pip install --no-deps trackers (its own requirements would put a second OpenCV over ours)"
)


class Tracks:
    """Gives the boxes of one video `track_id`; an object needs two sightings in a row before it has one."""

    def __init__(self, frames_per_s: float) -> None:
        """Begin a video.

        Args:
            frames_per_s: how many are labelled, about; times between frames may vary.

        Raises:
            ImportError: `trackers` is not installed.
        """
        try:
            from trackers import ByteTrackTracker
        except ImportError as error:
            raise ImportError(MISSING) from error
        self._tracker: Any = ByteTrackTracker(frame_rate=frames_per_s)
        self._numbers: dict[int, int] = {}

    def follow(self, record: Mapping[str, Any], timestamp_s: float) -> Mapping[str, Any]:
        """The record with `track_id`, one a box: numbers from 1 in the order of their tracks' beginnings, or None."""
        from supervision import Detections

        count = len(record["xyxy"])
        boxes = Detections(
            xyxy=np.asarray(record["xyxy"], np.float32).reshape(count, 4),
            confidence=np.asarray(record["confidence"], np.float32),
            data={"place": np.arange(count)},
        )
        found = self._tracker.update(boxes, timestamp=timestamp_s)
        ids: list[int | None] = [None] * count
        places = found.data.get("place", ())
        for place, number in sorted(zip(map(int, places), map(int, found.tracker_id), strict=True)):
            if number >= 0:
                ids[place] = self._numbers.setdefault(number, len(self._numbers) + 1)
        return {**record, "track_id": ids}

    def facts(self) -> Mapping[str, Any]:
        """How many tracks there are."""
        return {"tracks": len(self._numbers)}
