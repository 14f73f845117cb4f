"""Curves of precision over recall as an SVG of our own, for pages and for documents."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from drawing.colours import class_colour
from producer.judging.evaluation.figures import Curve

_WIDTH, _HEIGHT = 900, 520
_LEFT, _TOP, _RIGHT, _BOTTOM = 60, 44, 640, 460
#: Classes that a reader can tell apart; the mean comes beside them.
_MOST_CLASSES = 16
_STYLE = (
    "<style>text{font:14px system-ui,sans-serif;fill:#59636e}.title{font-size:16px;fill:#1b1f24}"
    "@media(prefers-color-scheme:dark){text{fill:#9aa5b1}.title{fill:#e8ecf1}}"
    "polyline{fill:none;stroke-width:1.6;stroke-linejoin:round}.mean{stroke-width:4}line{stroke:#8885;stroke-width:1}"
    "</style>"
)


def draw_curves(curves: Sequence[Curve], title: str) -> str:
    """An SVG of the mean, thick, and of up to 16 classes, the best first.

    Args:
        curves: each with its precision at evenly spaced recalls from 0 to 1.
    """
    mean = [curve for curve in curves if not curve.name]
    classes = sorted((curve for curve in curves if curve.name), key=_area, reverse=True)
    drawn = [*classes[:_MOST_CLASSES], *mean]
    left_out = len(classes) - min(len(classes), _MOST_CLASSES)
    colours = {curve.name: "#{:02x}{:02x}{:02x}".format(*class_colour(n)) for n, curve in enumerate(classes)}
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {_WIDTH} {_HEIGHT}' role='img'>",
        f"<title>{escape(title)}</title>{_STYLE}<text class='title' x='{_LEFT}' y='26'>{escape(title)}</text>",
        *_grid(),
        *(_line(curve, colours.get(curve.name, "#3b82f6")) for curve in drawn),
        *(_legend(row, curve, colours.get(curve.name, "#3b82f6")) for row, curve in enumerate([*mean, *drawn[:-1]])),
    ]
    if left_out:
        parts.append(_text(_RIGHT + 24, _TOP + 22 * (len(drawn) + 1), f"and {left_out:,} classes more"))
    return "\n".join([*parts, "</svg>", ""])


def _area(curve: Curve) -> float:
    return sum(curve.precision) / len(curve.precision)


def _grid() -> list[str]:
    parts = []
    for step in range(6):
        share = step / 5
        x, y = _at(share, share)
        parts.append(f"<line x1='{x:.1f}' y1='{_TOP}' x2='{x:.1f}' y2='{_BOTTOM}'/>")
        parts.append(f"<line x1='{_LEFT}' y1='{y:.1f}' x2='{_RIGHT}' y2='{y:.1f}'/>")
        parts.append(_text(x, _BOTTOM + 20, f"{share:.1f}", "middle"))
        parts.append(_text(_LEFT - 8, y + 5, f"{share:.1f}", "end"))
    middle = (_LEFT + _RIGHT) / 2
    parts.append(_text(middle, _BOTTOM + 44, "recall", "middle"))
    turned = f"<text transform='translate(18 {(_TOP + _BOTTOM) / 2:.0f}) rotate(-90)' text-anchor='middle'>"
    return [*parts, f"{turned}precision</text>"]


def _line(curve: Curve, colour: str) -> str:
    last = len(curve.precision) - 1
    points = " ".join("{:.1f},{:.1f}".format(*_at(n / last, value)) for n, value in enumerate(curve.precision))
    kind = "" if curve.name else " class='mean'"
    return f"<polyline{kind} points='{points}' stroke='{colour}'/>"


def _legend(row: int, curve: Curve, colour: str) -> str:
    y = _TOP + 22 * row + 10
    name = curve.name if len(curve.name) <= 20 else f"{curve.name[:19]}…"
    words = f"{name or 'mean over classes'} {_area(curve):.3f}"
    mark = f"<rect x='{_RIGHT + 24}' y='{y - 9}' width='14' height='10' fill='{colour}'/>"
    return mark + _text(_RIGHT + 46, y, words)


def _at(recall: float, precision: float) -> tuple[float, float]:
    return _LEFT + recall * (_RIGHT - _LEFT), _BOTTOM - precision * (_BOTTOM - _TOP)


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}'>{escape(words)}</text>"
