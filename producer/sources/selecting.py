"""What `include`, `exclude` and `since` let through. Pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from producer.errors import SourceInvalid

if TYPE_CHECKING:
    from producer.sources.kinds import SourceOptions

_SPANS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def is_named(name: str, options: SourceOptions) -> bool:
    """Whether the patterns take this way from the source, such as `2026/gate/a.jpg`."""
    is_included = not options.include or any(_fits(name, pattern) for pattern in options.include)
    return is_included and not any(_fits(name, pattern) for pattern in options.exclude)


def refuse_since(source: str, options: SourceOptions) -> None:
    """Refuse `since` for what names its items: nobody knows there when they were changed.

    Raises:
        SourceInvalid: it is set.
    """
    if options.since is not None:
        raise SourceInvalid(f"{source}: since is for folders, patterns and prefixes; leave it out for what names items")


def read_since(text: str, moment: datetime) -> float:
    """Give the moment that `24h`, `7d`, `2026-11-20` or `2026-11-20T03:00` means, in seconds since the epoch.

    Args:
        moment: what spans are counted back from; dates without a zone are in its zone.

    Raises:
        SourceInvalid: it is none of them.
    """
    if (span := re.fullmatch(r"(\d{1,6})([mhdw])", text)) is not None:
        return moment.timestamp() - timedelta(**{_SPANS[span[2]]: int(span[1])}).total_seconds()
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise SourceInvalid(f"since is {text[:40]!r}; expected 24h, 7d, 2026-11-20 or 2026-11-20T03:00") from error
    return (found if found.tzinfo else found.replace(tzinfo=moment.tzinfo)).timestamp()


def _fits(name: str, pattern: str) -> bool:
    return fnmatchcase(name if "/" in pattern else name.rpartition("/")[2], pattern)
