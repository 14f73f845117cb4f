"""Writing a job's results as files. A format is a module of `producer/exports/formats` with one function `export`.

Exports stream: memory does not grow with the job. They are complete or absent: everything is written beside its place
and moved there at the end.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING, cast

from producer.errors import FormatUnknown
from producer.exports import formats
from producer.exports.manifest import write_manifest
from producer.exports.summary import ExportSummary

if TYPE_CHECKING:
    from producer.exports.summary import Exporter

__all__ = ["ExportSummary", "exporter", "known_formats", "write_manifest"]


def known_formats() -> tuple[str, ...]:
    """Names of all formats, sorted; none of them is imported."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(formats.__path__)))


def exporter(name: str) -> Exporter:
    """The `export(job, rows, decisions, dest)` function of one format.

    Raises:
        FormatUnknown: listing the names that exist.
    """
    if name not in known_formats():
        raise FormatUnknown(f"no export format is called {name!r}; expected one of {', '.join(known_formats())}")
    return cast("Exporter", import_module(f"{formats.__name__}.{name}").export)
