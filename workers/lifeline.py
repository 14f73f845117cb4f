"""How a launcher hears that a process still runs Python: a pipe, and a byte now and then.

The lease brings a silent process's work to others; this brings its place back. A native call that holds Python's lock
for ever stops every thread of a process, its watchdog too.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass


@dataclass(slots=True)
class Lifeline:
    """The launcher's end of a pipe into one process.

    Attributes:
        heard: when the process was last heard, by the clock of whoever listens.
    """

    reading: int
    heard: float

    @classmethod
    def make(cls, now: float) -> tuple[Lifeline, int]:
        """A lifeline, and the descriptor that the process writes to; the launcher closes its copy of that."""
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        os.set_blocking(writing, False)
        return cls(reading, now), writing

    def silent_s(self, now: float) -> float:
        """Seconds since the process was last heard."""
        with contextlib.suppress(BlockingIOError):
            if os.read(self.reading, 4096):
                self.heard = now
        return now - self.heard

    def close(self) -> None:
        """Listen no more."""
        os.close(self.reading)


def sound(writing: int) -> None:
    """Say in the process that it runs; a launcher that does not listen is no reason to stop."""
    with contextlib.suppress(OSError):
        os.write(writing, b".")
