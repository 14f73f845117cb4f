"""Figures as people read them. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from producer.ending import short

#: Stands where nothing can be said.
DASH = "-"
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400

#: How a code is coloured; what is not named is neither good nor bad.
_TONES = {
    "good": {"completed", "done", "ok", "cached", "chosen", "active", "submitted", "runs", "passed", "accepted"},
    "busy": {"canary", "running", "pending", "window_full", "taken_soon", "busy"},
    "warn": {
        "completed_with_errors", "needs_attention", "draining", "no_worker", "broker", "model_away", "missed", "broken",
    },
    "bad": {"failed", "expired", "lost", "rejected", "does not run"},
}  # fmt: skip


def count(number: int) -> str:
    """Give `1,201`."""
    return f"{number:,}"


def plural(number: int, noun: str) -> str:
    """Give `1 worker` or `1,201 workers`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def percent(part: float, whole: float) -> str:
    """Give `61 %`; only what is whole is `100 %`, and only nothing is `0 %`."""
    share = part / whole * 100 if whole else 0.0
    if 0 < share < 1:
        return "<1 %"
    return f"{min(int(share), 99) if part < whole else 100 if whole else 0} %"


def duration(seconds: float) -> str:
    """Give `41 s`, `12 min` or `2 h 05 min`."""
    whole = round(seconds)
    if whole < _MINUTE_S:
        return f"{seconds:.1f} s" if 0 < seconds < 10 else f"{whole} s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min" + (f" {whole % _MINUTE_S:02d} s" if whole < 10 * _MINUTE_S else "")
    if whole < _DAY_S:
        return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S:02d} min"
    return f"{whole // _DAY_S} d {whole % _DAY_S // _HOUR_S} h"


def span(low_s: float, high_s: float) -> str:
    """Give `8 min to 11 min`, or one of them where both read the same."""
    low, high = duration(low_s), duration(high_s)
    return low if low == high else f"{low} to {high}"


def rate(items_per_second: float | None, unit: str = "img") -> str:
    """Give `38.2 img/s`, a dash while it is unknown."""
    if not items_per_second:
        return DASH
    return f"{items_per_second:.0f} {unit}/s" if items_per_second >= 100 else f"{items_per_second:.1f} {unit}/s"


def ago(then: float, now: float) -> str:
    """Give `3 min ago`; times are seconds since the epoch by one clock."""
    seconds = now - then
    return "just now" if seconds < 2 else f"{duration(seconds)} ago"


def moment(then: float) -> str:
    """Give `2026-11-21 17:45:08 UTC`."""
    return f"{datetime.fromtimestamp(then, UTC):%Y-%m-%d %H:%M:%S} UTC"


def iso(then: float) -> str:
    """Give a time as the attribute `datetime` has it."""
    return datetime.fromtimestamp(then, UTC).isoformat(timespec="seconds")


def size(size_bytes: float) -> str:
    """Give `512 B`, `1.4 MiB` or `139 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size_bytes < 1024 or unit == "GiB":
            break
        size_bytes /= 1024
    return f"{size_bytes:.0f} {unit}" if unit == "B" or size_bytes >= 100 else f"{size_bytes:.1f} {unit}"


def state(code: str) -> str:
    """Give a state's or an event's code in words."""
    return code.replace("_", " ")


def tone(code: str) -> str:
    """Give the class of style of a state or verdict."""
    return next((name for name, codes in _TONES.items() if code in codes), "idle")


def file_name(uri: str) -> str:
    """Give the last part of a path or address."""
    return uri.rstrip("/").rpartition("/")[2] or uri


FILTERS = {
    function.__name__: function
    for function in (count, plural, percent, duration, rate, ago, moment, iso, size, short, state, tone, file_name)
}
