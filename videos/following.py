"""What looks at a video's frames one after the other, while they are judged in parallel and end in any order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Follower(Protocol):
    """Is told the records of a video's frames in their order, and of no frame twice.

    What it says depends on the records alone, so that whoever tells them again, from the database, has the same again.
    """

    def follow(self, record: Mapping[str, Any], timestamp_s: float) -> Mapping[str, Any]:
        """The record as it is kept."""
        ...

    def facts(self) -> Mapping[str, Any]:
        """What is said of the video as a whole, by the records so far."""
        ...
