"""What was found, as shapes of an SVG in the picture's own pixels, so that pages can filter them without asking again.

Maps and vectors, which are blobs, have no shapes: the server draws those that can be seen into the picture itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drawing import run_lengths
from drawing.colours import class_colour, ink_on
from drawing.opencv import import_cv2
from producer.exports.outlines import turned_corners
from producer.exports.records import Instance, Kind, instances, kinds_of

if TYPE_CHECKING:
    from drawing.colours import Colour

#: Text of labels, as a share of the picture's longer side, and the width of its letters, as a share of its height.
_TEXT_SHARE, _LETTER_SHARE = 1 / 38, 0.6
#: Masks are traced on every n-th pixel, so that the longer side has about so many.
_TRACED_SIDE = 640
_MOST_WORDS = 8
#: Kinds that only the server can draw.
_DRAWN = frozenset({Kind.LABEL_MAP, Kind.DEPTH})


@dataclass(frozen=True, slots=True)
class Label:
    """A name on a plate above an object: the plate's place and size, and the baseline of its text."""

    text: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Shape:
    """One object.

    Attributes:
        colour, ink: of its class and of text on it, `#rrggbb`.
        path: of box, turned box and mask outlines, as SVG's `d`.
        area: of its mask, as SVG's `d`, filled by the even-odd rule; empty: it has none.
        lines: of its skeleton, as SVG's `d`.
        points: of it that are sure, `(x, y)`.
        is_hidden: below the score, or of another class than the one asked for.
    """

    class_name: str
    score: float | None
    colour: str
    ink: str
    path: str
    area: str
    lines: str
    points: tuple[tuple[float, float], ...]
    label: Label
    is_hidden: bool


@dataclass(frozen=True, slots=True)
class Overlay:
    """Everything drawn over one picture.

    Attributes:
        width, height: of the picture in its own pixels.
        text_px: height of labels' text.
        shapes: the least sure first, so that the surest lie on top.
        words: what has no place in the picture, such as its class or text.
        is_drawn: the server has to draw the record into the picture.
        problem: why nothing is drawn, or not all.
    """

    width: int
    height: int
    text_px: float = 12.0
    shapes: tuple[Shape, ...] = ()
    words: tuple[str, ...] = ()
    is_drawn: bool = False
    problem: str = ""

    @property
    def shown(self) -> int:
        """Objects that are not hidden."""
        return sum(not shape.is_hidden for shape in self.shapes)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which objects are shown; no class means all."""

    score: float = 0.0
    class_name: str = ""

    def hides(self, instance: Instance) -> bool:
        """Say whether an object is filtered out."""
        is_weak = instance.confidence is not None and instance.confidence < self.score
        return is_weak or bool(self.class_name and instance.class_name != self.class_name)


def overlay_of(record: Mapping[str, Any], wanted: Filter, *, with_masks: bool = True) -> Overlay:
    """Give what is drawn over the picture of a record; a damaged record gives none, with the reason."""
    try:
        height, width = (int(side) for side in record["image_hw"])
        return _overlay(record, wanted, width, height, with_masks=with_masks)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        return Overlay(1, 1, problem=f"the record cannot be drawn: {type(error).__name__}")


def mask_pixels(record: Mapping[str, Any]) -> int:
    """Give how many pixels the masks of a record have to be read for."""
    sizes = (mask["size"] for mask in record.get("masks") or ())
    return sum(int(height) * int(width) for height, width in sizes)


def words_of(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Give what a record says of its picture as a whole."""
    kinds = kinds_of(record)
    if Kind.CLASSES in kinds or Kind.LABEL_MAP in kinds:
        scores = record.get("confidence") or [None] * len(record["class_name"])
        told = zip(record["class_name"], scores, strict=False)
        return tuple(name if score is None else f"{name} {score:.2f}" for name, score in told)[:_MOST_WORDS]
    if Kind.DEPTH in kinds:
        return (f"{record['low']:.4g} to {record['high']:.4g} {record['unit']}",)
    if Kind.EMBEDDING in kinds:
        return (f"{record['dimensions']} numbers, {record['dtype']}",)
    if Kind.TEXT in kinds:
        return tuple(line for line in str(record["text"]).splitlines() if line.strip())[:_MOST_WORDS]
    if Kind.SPANS in kinds:
        rows = zip(record["class_name"], record["start_frame"], record["end_frame"], strict=True)
        fps = record["fps"]
        return tuple(f"{name} {start / fps:.1f} to {end / fps:.1f} s" for name, start, end in rows)[:_MOST_WORDS]
    return ()


def _overlay(record: Mapping[str, Any], wanted: Filter, width: int, height: int, *, with_masks: bool) -> Overlay:
    text_px = max(8.0, max(width, height) * _TEXT_SHARE)
    has_masks = Kind.MASKS in kinds_of(record)
    readable = record if with_masks else {key: value for key, value in record.items() if key != "masks"}
    found = sorted(enumerate(instances(readable)), key=lambda numbered: numbered[1].confidence or 0.0)
    shapes = tuple(
        _shape(instance, _skeleton(record, index), (text_px, width), is_hidden=wanted.hides(instance))
        for index, instance in found
    )
    kinds = kinds_of(record)
    return Overlay(
        width=width,
        height=height,
        text_px=round(text_px, 1),
        shapes=shapes,
        words=() if shapes else words_of(record),
        is_drawn=bool(kinds & _DRAWN),
        problem="masks of this many pixels are on the item's own page" if has_masks and not with_masks else "",
    )


def _shape(
    instance: Instance, edges: tuple[float, tuple[tuple[int, int], ...]], sizes: tuple[float, int], *, is_hidden: bool
) -> Shape:
    """One object; `sizes` are the height of text and the width of the picture."""
    colour = class_colour(instance.class_id)
    left, top, right, bottom = instance.xyxy
    if instance.xywhr is not None:
        path = _closed(turned_corners(instance.xywhr))
    else:
        path = _closed([(left, top), (right, top), (right, bottom), (left, bottom)])
    sure, lines = _points(instance, edges)
    return Shape(
        class_name=instance.class_name,
        score=instance.confidence,
        colour=_hex(colour),
        ink=_hex(ink_on(colour)),
        path=path,
        area=_area(instance.mask) if instance.mask is not None else "",
        lines=lines,
        points=sure,
        label=_label(instance, *sizes),
        is_hidden=is_hidden,
    )


def _label(instance: Instance, text_px: float, picture_px: int) -> Label:
    """A plate above the box, or inside it where the picture ends above; it ends where the picture does."""
    left, top, _, _ = instance.xyxy
    parts = [instance.text or instance.class_name]
    parts += [] if instance.confidence is None else [f"{instance.confidence:.2f}"]
    parts += [] if instance.track_id is None else [f"#{instance.track_id}"]
    text, height = " ".join(parts), text_px * 1.3
    y = top - height if top >= height else top
    width = len(text) * text_px * _LETTER_SHARE + text_px * 0.5
    x = max(0.0, min(left, picture_px - width))
    return Label(text, round(x, 1), round(y, 1), round(width, 1), round(height, 1))


def _skeleton(record: Mapping[str, Any], index: int) -> tuple[float, tuple[tuple[int, int], ...]]:
    """The least score of a sure point, and the lines between points."""
    if "skeletons" not in record:
        return 0.0, ()
    edges = record["skeletons"][record["class_id"][index]]["edges"]
    return float(record.get("key_points_threshold", 0.0)), tuple((int(start), int(end)) for start, end in edges)


def _points(
    instance: Instance, edges: tuple[float, tuple[tuple[int, int], ...]]
) -> tuple[tuple[tuple[float, float], ...], str]:
    least, lines = edges
    points = instance.key_points or ()
    is_sure = [score >= least and score > 0 for _, _, score in points]
    sure = tuple((round(x, 1), round(y, 1)) for (x, y, _), good in zip(points, is_sure, strict=True) if good)
    drawn = (
        f"M{points[start][0]:.1f} {points[start][1]:.1f}L{points[end][0]:.1f} {points[end][1]:.1f}"
        for start, end in lines
        if max(start, end) < len(points) and is_sure[start] and is_sure[end]
    )
    return sure, "".join(drawn)


def _area(mask: Mapping[str, Any]) -> str:
    """Outlines of a mask's parts and holes, traced on fewer pixels where it is large."""
    height, width = mask["size"]
    step = max(1, round(max(height, width) / _TRACED_SIDE))
    small = run_lengths.decode(str(mask["counts"]).encode("ascii"), (height, width), step=step).astype(np.uint8)
    cv2 = import_cv2()
    rings, _ = cv2.findContours(small, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    return "".join(_closed((ring.reshape(-1, 2) * step + step / 2).tolist()) for ring in rings if len(ring) > 2)


def _closed(points: list[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + "Z"


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
