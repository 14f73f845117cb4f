"""Progress on stderr: a live bar on a terminal, else a plain line now and then. Standard output stays clean."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

from jobstore.schema import JobState
from nightshift.cli.output import clock, say
from producer.ending import short
from producer.progress import Pace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobstore.views import JobStatus

#: Seconds between two plain lines.
PLAIN_INTERVAL_S = 5.0


class View(Protocol):
    """Where progress is shown."""

    def show(self, status: JobStatus) -> None:
        """Show the counters of this moment."""
        ...

    def say(self, label: str, text: str) -> None:
        """Print a line that stays, without spoiling the bar."""
        ...


def words(status: JobStatus, pace: Pace) -> str:
    """Give `742/1,201  61%  38.2 img/s  ETA 0:00:12  failed 2`, before it why the job stands still or has not begun."""
    if status.state is JobState.PAUSED:
        return f"{status.done:,}/{status.total:,}  paused: nightshift resume {short(status.job_id)} goes on"
    if not status.done:
        opened = "first images" if status.task is not None else "waiting for a worker with the model"
        return f"0/{status.total:,}  {opened}"
    parts = [f"{status.done:,}/{status.total:,}", f"{percent(status):3d}%", f"{pace.items_per_second:.1f} img/s"]
    eta = pace.eta_s(status.pending)
    if eta is not None and status.pending:
        parts.append(f"ETA {clock(eta)}")
    if status.state is JobState.CANARY:
        parts.insert(0, f"canary of {status.canary_items:,}")
    if status.failed:
        parts.append(f"failed {status.failed:,}")
    return "  ".join(parts)


def percent(status: JobStatus) -> int:
    """Give whole percents, 100 only at the end."""
    return 100 * status.done // status.total if status.total else 0


class PlainView:
    """Lines for logs: one every few seconds, and one at the end."""

    def __init__(self) -> None:
        self._pace = Pace()
        self._next = time.monotonic() + PLAIN_INTERVAL_S

    def show(self, status: JobStatus) -> None:
        """Print a line if it is time for one."""
        self._pace.add(status.now, status.done)
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + PLAIN_INTERVAL_S
            say("labelling", words(status, self._pace))

    def say(self, label: str, text: str) -> None:
        """Print a line."""
        say(label, text)


class LiveView:
    """A bar that rich draws on a terminal."""

    def __init__(self, progress: Any) -> None:
        self._progress = progress
        self._pace = Pace()
        self._task = progress.add_task("labelling", total=None, words="waiting for a worker")

    def show(self, status: JobStatus) -> None:
        """Move the bar."""
        self._pace.add(status.now, status.done)
        total = status.total if status.done else None  # a bar without a total pulses
        self._progress.update(self._task, completed=status.done, total=total, words=words(status, self._pace))

    def say(self, label: str, text: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(f"{label:<9} {text}", markup=False, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def open_view() -> Iterator[View]:
    """Give the view that fits standard error."""
    if not sys.stderr.isatty():
        yield PlainView()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True, no_color=bool(os.environ.get("NO_COLOR")))
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[words]}"))
    with Progress(*columns, console=console, refresh_per_second=5) as progress:
        yield LiveView(progress)
