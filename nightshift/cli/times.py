"""Times as people type them: `24h` for a span, and `6h`, `06:30` or `2026-11-22T06:30` for a moment to come."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from producer.spans import seconds_of

if TYPE_CHECKING:
    from collections.abc import Callable


def span(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    """Read a number of minutes, hours or days; gives seconds."""
    if value is None:
        return None
    found = seconds_of(value)
    if found is None:
        raise click.BadParameter(f"{value!r} is no time; expected a number and m, h or d, such as 24h")
    return found


def moment_to_come(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    """Read a span from now, the next such time of the day, or a date with a time; gives seconds since the epoch."""
    return None if value is None else read_moment(value, time.time)


def read_moment(value: str, clock: Callable[[], float]) -> float:
    """Give a moment in seconds since the epoch; times without a zone are local.

    Raises:
        click.BadParameter: it is none.
    """
    now = datetime.fromtimestamp(clock()).astimezone()
    seconds = seconds_of(value)
    if seconds is not None:
        return now.timestamp() + seconds
    try:
        if re.fullmatch(r"\d{1,2}:\d{2}", value):
            hour, minute = map(int, value.split(":"))
            today = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
            return (today if today > now else today + timedelta(days=1)).timestamp()
        return datetime.fromisoformat(value).astimezone().timestamp()
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is no moment; expected 6h, 06:30 or 2026-11-22T06:30") from error
