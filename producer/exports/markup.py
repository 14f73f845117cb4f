"""Texts in XML."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape, quoteattr

# XML 1.0 has no place for these, escaped or not (https://www.w3.org/TR/xml/#charsets).
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def text(value: object) -> str:
    """Between tags."""
    return escape(_allowed(value))


def attributes(**values: object) -> str:
    """`name="value"` for each that is not None, with a space before each; numbers as they print."""
    pairs = ((name, value) for name, value in values.items() if value is not None)
    return "".join(f" {name}={quoteattr(_allowed(value))}" for name, value in pairs)


def number(value: float) -> str:
    """Thousandths at most, without zeros at the end."""
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _allowed(value: object) -> str:
    return _FORBIDDEN.sub("\ufffd", str(value))
