"""When a cron expression is due, in a time zone. Pure functions; expressions mean what they mean to Debian's cron.

Where clocks go forward, a time of day that does not exist is due at the first minute that does; where they go back, one
that comes twice is due the first time. Expressions with a star for minute or hour follow elapsed time instead.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from jobstore.errors import InvalidSchedule

#: Seconds after its time in which a run is still on time: a restart of the whole fleet is no missed night.
ON_TIME_S = 300.0
#: Missed times that `all` makes up for at most; a schedule of every minute would else flood a fleet after a holiday.
MOST_CAUGHT_UP = 100


class CatchUp(StrEnum):
    """What happens to times that passed while nobody looked."""

    NONE = "none"  # they are missed
    LAST = "last"  # the last of them runs, late; the others are missed
    ALL = "all"  # each of them runs, the last hundred at most


@dataclass(frozen=True, slots=True)
class Due:
    """What a look at a schedule found.

    Attributes:
        runs: times that are due, in seconds since the epoch, the oldest first.
        missed: times that are given up, the oldest first; of very many the last hundred.
        next_at: the first time after the look; None: it never comes again.
    """

    runs: tuple[float, ...]
    missed: tuple[float, ...]
    next_at: float | None


def check_cron(cron: str, timezone: str) -> None:
    """Raise `InvalidSchedule` for an expression or zone that there is not, or that is never due."""
    if next_after(cron, timezone, datetime(2024, 1, 1, tzinfo=UTC).timestamp()) is None:
        raise InvalidSchedule(f"cron {cron!r} is never due: no such day comes in fifty years")


def next_after(cron: str, timezone: str, after: float) -> float | None:
    """Give the first due time after a moment, both in seconds since the epoch; None: it never comes."""
    # Around the end of summer time cronsim gives the first of two equal times of day also to who begins at the second.
    times = (moment.timestamp() for moment in _simulated(cron, timezone, after))
    return next((moment for moment in times if moment > after), None)


def look(cron: str, timezone: str, catch_up: CatchUp, next_at: float, now: float) -> Due:
    """Say what is due, missed and next for a schedule whose next time was `next_at`, which has passed by `now`."""
    passed = _passed(cron, timezone, next_at, now)
    if catch_up is CatchUp.ALL:
        runs = passed
    elif catch_up is CatchUp.LAST or passed[-1] >= now - ON_TIME_S:
        runs = passed[-1:]
    else:
        runs = ()
    return Due(runs, passed[: len(passed) - len(runs)], next_after(cron, timezone, now))


def in_words(cron: str, timezone: str) -> str:
    """Say when it is due, for example `At 02:30 on Monday through Friday (Europe/Berlin)`."""
    sim = _simulated(cron, timezone, 0.0)
    return f"{sim.explain()} ({timezone})"


def _passed(cron: str, timezone: str, next_at: float, now: float) -> tuple[float, ...]:
    """The last due times from `next_at` up to `now`; found from the end, so that a year of minutes costs nothing."""
    found: deque[float] = deque()
    for moment in _simulated(cron, timezone, now + 1, backwards=True):
        if moment.timestamp() <= next_at or len(found) >= MOST_CAUGHT_UP - 1:
            break
        if moment.timestamp() <= now and moment.timestamp() not in found:
            found.appendleft(moment.timestamp())
    return (next_at, *found)


def _simulated(cron: str, timezone: str, start: float, *, backwards: bool = False) -> CronSim:
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidSchedule(f"no time zone is called {timezone!r}; expected a name such as Europe/Berlin") from error
    try:
        return CronSim(cron, datetime.fromtimestamp(start, zone), reverse=backwards)
    except CronSimError as error:
        problem = str(error).lower()
        raise InvalidSchedule(
            f"cron {cron!r} cannot be read ({problem}); expected minute, hour, day, month and weekday, "
            "for example '30 2 * * MON-FRI'"
        ) from error
