"""Spans of time as people write them: `30m`, `24h`, `2d`. Pure."""

from __future__ import annotations

import re

_UNITS = {"m": 60, "h": 3600, "d": 86400}


def seconds_of(text: str) -> float | None:
    """Give the seconds of a number of minutes, hours or days; None: it is none of these."""
    found = re.fullmatch(r"(\d{1,9})([mhd])", text)
    return None if found is None else float(int(found[1]) * _UNITS[found[2]])
