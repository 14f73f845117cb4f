"""The formats that there are, and which of them a record fits."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from producer.errors import FormatUnknown, FormatUnsuitable
from producer.exports import formats
from producer.exports.records import EVERY_KIND, Kind, kinds_of

if TYPE_CHECKING:
    from producer.exports.summary import Exporter


@dataclass(frozen=True, slots=True)
class Format:
    """One format.

    Attributes:
        takes: a record that has one of these fits.
        about: what is written, in a line.
    """

    name: str
    takes: frozenset[Kind]
    about: str
    export: Exporter

    def fits(self, record: Mapping[str, Any]) -> bool:
        """Whether such a record can be written; what takes every kind also takes those of tasks that are not ours."""
        return self.takes == EVERY_KIND or bool(self.takes & kinds_of(record))


def known_formats() -> tuple[str, ...]:
    """Names of all formats, sorted; none of them is imported."""
    return tuple(sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(formats.__path__)))


def find_format(name: str) -> Format:
    """One format by its name.

    Raises:
        FormatUnknown: listing the names that exist.
    """
    if name not in known_formats():
        raise FormatUnknown(f"no export format is called {name!r}; expected one of {', '.join(known_formats())}")
    module = import_module(f"{formats.__name__}.{name.replace('-', '_')}")
    about = (module.__doc__ or "").splitlines()[0]
    return Format(name, frozenset(module.TAKES), about, module.export)


def every_format() -> Iterator[Format]:
    """All of them, by name."""
    return (find_format(name) for name in known_formats())


def check_fit(chosen: Format, record: Mapping[str, Any]) -> None:
    """Refuse a format that has no place for what a record holds.

    Raises:
        FormatUnsuitable: naming the formats that have.
    """
    if chosen.fits(record):
        return
    found = ", ".join(sorted(kinds_of(record))) or "none of the known kinds"
    others = ", ".join(each.name for each in every_format() if each.fits(record)) or "jsonl"
    raise FormatUnsuitable(
        f"{chosen.name} takes {', '.join(sorted(chosen.takes))}, and records of task {record.get('task')!r} hold "
        f"{found}; formats that fit: {others}"
    )
