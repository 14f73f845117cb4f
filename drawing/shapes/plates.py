"""What has no place in the picture, as lines of text at its upper left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from drawing.canvas import Canvas
from drawing.colours import DARK, Colour, class_colour

#: Lines at most, and letters of a line; a model's answer may be a page.
_MOST_LINES, _MOST_LETTERS = 12, 60


def draw_classes(canvas: Canvas, record: Mapping[str, Any], blob: bytes | None) -> None:  # noqa: ARG001 (as every shape's)
    """Classes with their confidence, the best first."""
    found = zip(record["class_id"], record["class_name"], record["confidence"], strict=True)
    _lines(canvas, ((f"{name} {score:.2f}", class_colour(class_id)) for class_id, name, score in found))


def draw_text(canvas: Canvas, record: Mapping[str, Any], blob: bytes | None) -> None:  # noqa: ARG001 (as every shape's)
    """A text, cut at the ends of its lines and after the last one that fits."""
    _lines(canvas, ((line, DARK) for line in str(record["text"]).splitlines() if line.strip()))


def draw_spans(canvas: Canvas, record: Mapping[str, Any], blob: bytes | None) -> None:  # noqa: ARG001 (as every shape's)
    """Actions with the seconds from which and to which they last."""
    frames = zip(record["start_frame"], record["end_frame"], strict=True)
    times_s = record.get("times_s") or [(start / record["fps"], end / record["fps"]) for start, end in frames]
    keys = ("class_id", "class_name", "confidence")
    lines = (
        (f"{start:.1f} to {end:.1f} s: {name} {score:.2f}", class_colour(class_id))
        for class_id, name, score, (start, end) in zip(*(record[key] for key in keys), times_s, strict=True)
    )
    _lines(canvas, lines)


def draw_embedding(canvas: Canvas, record: Mapping[str, Any], blob: bytes | None) -> None:  # noqa: ARG001 (as every shape's)
    """How long the vector is: its numbers say nothing to the eye."""
    _lines(canvas, [(f"{record['dimensions']} numbers, {record['dtype']}", DARK)])


def _lines(canvas: Canvas, lines: Iterable[tuple[str, Colour]]) -> None:
    top = 0
    for count, (text, colour) in enumerate(lines):
        if count == _MOST_LINES or top >= canvas.image.shape[0]:
            return
        cut = text if len(text) <= _MOST_LETTERS else f"{text[: _MOST_LETTERS - 3]}..."
        top += canvas.plate((0, top), cut, colour, is_below=True)
