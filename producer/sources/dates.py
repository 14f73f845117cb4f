"""Dates in sources: `photos/{date:%Y/%m/%d}/` is today's folder, `{date-1d}` yesterday. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from producer.errors import SourceInvalid

_TEMPLATE = re.compile(r"\{date(?![a-z0-9_])([^{}]*)\}")
_PARTS = re.compile(r"(?:(?P<sign>[+-])(?P<count>\d{1,4})(?P<unit>[hdw]))?(?::(?P<format>.+))?", re.DOTALL)
_DEFAULT = "%Y-%m-%d"


def fill_dates(text: str, moment: datetime) -> str:
    """Put dates in the place of `{date}`, `{date:FORMAT}` and `{date-1d:FORMAT}`.

    The format is that of `strftime`. Days and weeks are counted on the calendar of the moment's zone, hours on the
    clock, so that `-24h` and `-1d` differ on two days of the year.

    Raises:
        SourceInvalid: an offset that is none.
    """
    return _TEMPLATE.sub(lambda found: _fill(found[0], found[1], moment), text)


def _fill(written: str, inner: str, moment: datetime) -> str:
    parts = _PARTS.fullmatch(inner)
    if parts is None:
        raise SourceInvalid(
            f"found {written[:60]!r}; expected {{date}}, {{date:%Y/%m/%d}} or {{date-1d:%Y/%m/%d}}, with h, d or w"
        )
    if parts["count"]:
        moment = _moved(moment, int(parts["sign"] + parts["count"]), parts["unit"])
    return moment.strftime(parts["format"] or _DEFAULT)


def _moved(moment: datetime, count: int, unit: str) -> datetime:
    if unit == "h":
        return (moment.astimezone(UTC) + timedelta(hours=count)).astimezone(moment.tzinfo)
    return moment + timedelta(days=count if unit == "d" else 7 * count)
