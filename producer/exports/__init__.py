"""Writing a job's results as files.

A format is a module of `producer/exports/formats`: `TAKES` says what of a record it can write, `export(dataset, dest)`
writes it, and the first line of its docstring says what is written. Exports stream: memory does not grow with the job.
They are complete or absent: everything is written beside its place and moved there at the end.
"""

from __future__ import annotations

from producer.exports.dataset import Dataset
from producer.exports.options import EVERYTHING, ExportOptions
from producer.exports.registry import Format, find_format, known_formats
from producer.exports.summary import ExportSummary
from producer.exports.writing import write_exports

__all__ = [
    "EVERYTHING",
    "Dataset",
    "ExportOptions",
    "ExportSummary",
    "Format",
    "find_format",
    "known_formats",
    "write_exports",
]
