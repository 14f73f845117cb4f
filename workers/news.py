"""Hears that work was handed over, so that a process need not look for it all the time."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from jobstore.dispatch import Doorbell

#: Seconds between two looks at whether the process stops.
_LOOK_S = 0.5


@dataclass(slots=True)
class News:
    """One thread that listens to Redis, and an event for who acts on it. What it misses is found by looking."""

    doorbell: Doorbell
    heard: threading.Event = field(default_factory=threading.Event)

    def run(self, stopped: threading.Event) -> None:
        """Listen until `stopped`."""
        with self.doorbell.listening() as wait:
            while not stopped.is_set():
                if wait(_LOOK_S):
                    self.heard.set()
