"""Pages with handwritten digits on them, made from scikit-learn's scans, with the truth beside each page.

The starter model trains on pages of the `train` scans; `nightshift demo` and the tests look at pages of the `held_out`
scans. The same seed gives the same pages. A page is paper with gradients, stains and rings, ruled or squared lines,
words of letters that are no digits, scribbles, and 3 to 14 digits; then a little blur and grain.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from inference_engine.opencv import import_cv2

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Pixels = NDArray[np.uint8]
    Split = Literal["train", "held_out"]

#: One name a class, in the order of `class_id`.
CLASS_NAMES = tuple("0123456789")
#: Papers and inks, RGB.
PAPERS = ((250, 248, 240), (244, 234, 208), (236, 238, 242), (252, 246, 188), (214, 228, 240), (222, 205, 176))
INKS = ((28, 42, 120), (24, 24, 28), (150, 26, 34), (22, 92, 58), (84, 84, 92), (86, 36, 128))
COFFEE = (122, 82, 44)
#: Height of a digit as it is written, in pixels of a page whose longer side is 640.
DIGIT_PX = (24.0, 90.0)
#: Ink that counts as visible when a box is drawn around a digit, as a part of full ink.
VISIBLE = 0.35
#: Letters as strokes in a unit square, y down; none that a digit may look like.
LETTERS: tuple[tuple[tuple[tuple[float, float], ...], ...], ...] = (
    (((0, 1), (0.5, 0), (1, 1)), ((0.2, 0.6), (0.8, 0.6))),  # A
    (((0.9, 0), (0, 0), (0, 1), (0.9, 1)), ((0, 0.5), (0.7, 0.5))),  # E
    (((0, 0), (0, 1)), ((1, 0), (1, 1)), ((0, 0.5), (1, 0.5))),  # H
    (((0, 0), (0, 1)), ((0.9, 0), (0, 0.55), (0.9, 1))),  # K
    (((0, 1), (0.1, 0), (0.5, 0.6), (0.9, 0), (1, 1)),),  # M
    (((0, 1), (0, 0), (1, 1), (1, 0)),),  # N
    (((0, 0), (0.25, 1), (0.5, 0.3), (0.75, 1), (1, 0)),),  # W
    (((0, 0), (1, 1)), ((1, 0), (0, 1))),  # X
    (((0, 0.4), (0, 1)), ((0, 0.6), (0.4, 0.4), (0.5, 1)), ((0.5, 0.6), (0.9, 0.4), (1, 1))),  # m
    (((0, 0.4), (0.1, 1), (0.8, 0.9), (0.8, 0.4)), ((0.8, 0.8), (1, 1))),  # u
)


@dataclass(frozen=True, slots=True)
class Scans:
    """Handwritten digits as scanned: `masks` (n, 8, 8) uint8 of 0 to 16, `class_id` (n,) int64."""

    masks: Pixels
    class_id: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Page:
    """A page and its truth: `image` (H, W, 3) uint8 RGB, `xyxy` (n, 4) float32 in pixels, `class_id` (n,) int64."""

    image: Pixels
    xyxy: Floats
    class_id: NDArray[np.int64]


@dataclass(slots=True)
class Sheet:
    """A page in the making: what is drawn so far, where ink stands already, and the pixels of a nominal pixel."""

    image: Pixels
    scale: float
    taken: list[tuple[float, float, float, float]]


@cache
def load_scans(split: Split, seed: int = 0) -> Scans:
    """Give one side of a seeded split of the 1,797 scans: four fifths of each class train, one fifth is held out."""
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    labels = bunch.target.astype(np.int64)
    rng = np.random.default_rng(seed)
    chosen: list[NDArray[np.int64]] = []
    for digit in range(len(CLASS_NAMES)):
        order = rng.permutation(np.flatnonzero(labels == digit))
        cut = round(len(order) * 0.8)
        chosen.append(order[:cut] if split == "train" else order[cut:])
    index = np.sort(np.concatenate(chosen))
    return Scans(bunch.images[index].astype(np.uint8), labels[index])


def make_page(scans: Scans, rng: np.random.Generator, hw: tuple[int, int] = (480, 640)) -> Page:
    """Draw one page; its sizes follow the longer side, so that a larger page has larger digits, not more of them."""
    sheet = Sheet(_paper(rng, hw), max(hw) / 640, [])
    _rule(sheet, rng)
    xyxy, class_id = _write_digits(sheet, scans, rng)
    for _ in range(rng.integers(2, 8)):
        _write_word(sheet, rng)
    for _ in range(rng.integers(0, 4)):
        _scribble(sheet, rng)
    return Page(_photograph(sheet.image, rng), xyxy, class_id)


def write_pages(folder: Path, count: int, split: Split = "held_out", seed: int = 0) -> Path:
    """Write `page_00000.jpg` and on, with `truth.json` in COCO's form beside them; give the path of the latter.

    A page depends on the seed and its number only, so that the first pages of a longer run are those of a shorter one.
    Category ids are `class_id + 1`, since COCO's begin at one.
    """
    cv2 = import_cv2()

    folder.mkdir(parents=True, exist_ok=True)
    scans = load_scans(split)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in range(count):
        page = make_page(scans, np.random.default_rng([seed, number]))
        name = f"page_{number:05d}.jpg"
        bgr = np.ascontiguousarray(page.image[..., ::-1])
        if not cv2.imwrite(str(folder / name), bgr, [cv2.IMWRITE_JPEG_QUALITY, 92]):
            raise OSError(f"could not write {folder / name}: look at the folder's rights and free space")
        height, width = page.image.shape[:2]
        images.append({"id": number + 1, "file_name": name, "height": height, "width": width})
        annotations += _annotations(page, number + 1, len(annotations) + 1)
    truth = folder / "truth.json"
    truth.write_text(json.dumps(_coco(images, annotations, f"{split} digits, seed {seed}")), encoding="utf-8")
    return truth


def _coco(images: list[dict[str, Any]], annotations: list[dict[str, Any]], description: str) -> dict[str, Any]:
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(CLASS_NAMES)]
    return {
        "info": {"description": description},
        "images": images,
        "annotations": annotations,
        "categories": categories,
    }


def _annotations(page: Page, image_id: int, first_id: int) -> list[dict[str, Any]]:
    rows = []
    for i, ((x0, y0, x1, y1), class_id) in enumerate(zip(page.xyxy.tolist(), page.class_id.tolist(), strict=True)):
        box = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0), "iscrowd": 0}
        rows.append({"id": first_id + i, "image_id": image_id, "category_id": class_id + 1, **box})
    return rows


def _paper(rng: np.random.Generator, hw: tuple[int, int]) -> Pixels:
    """Draw paper at a quarter of the size, since all on it is soft, then enlarge it."""
    cv2 = import_cv2()

    small_wh = (hw[1] // 4 + 1, hw[0] // 4 + 1)
    uneven = rng.normal(1, 0.035, (4, 5, 3)).astype(np.float32)
    uneven = 0.5 * uneven + 0.5 * uneven.mean(axis=2, keepdims=True)
    colour = np.array(PAPERS[rng.integers(len(PAPERS))], np.float32)
    paper = cv2.resize(uneven, small_wh, interpolation=cv2.INTER_CUBIC).astype(np.float32) * colour
    light = _ramp(rng, (0.78, 1.06), small_wh[0])[None, :, None]
    paper *= light * _ramp(rng, (0.85, 1.05), small_wh[1])[:, None, None]
    for _ in range(rng.integers(0, 5)):
        _stain(paper, rng)
    whole = cv2.resize(paper, (hw[1], hw[0]), interpolation=cv2.INTER_CUBIC)
    page: Pixels = np.clip(whole, 0, 255).astype(np.uint8)
    return page


def _ramp(rng: np.random.Generator, between: tuple[float, float], count: int) -> Floats:
    start, stop = rng.uniform(*between, 2).tolist()
    return np.linspace(start, stop, count, dtype=np.float32)


def _stain(paper: Floats, rng: np.random.Generator) -> None:
    """Darken a blot, or the ring that a cup leaves."""
    cv2 = import_cv2()

    height, width = paper.shape[:2]
    mask = np.zeros((height, width), np.float32)
    centre = (int(rng.integers(width)), int(rng.integers(height)))
    axes = rng.uniform(0.05, 0.2, 2) * width if rng.random() < 0.5 else np.repeat(rng.uniform(0.09, 0.18) * width, 2)
    is_ring = axes[0] == axes[1]
    turn, start = float(rng.uniform(0, 180)), float(rng.uniform(0, 360))
    sweep = float(rng.uniform(200, 360)) if is_ring else 360.0
    thickness = int(rng.integers(1, 4)) if is_ring else -1
    cv2.ellipse(mask, centre, (int(axes[0]), int(axes[1])), turn, start, start + sweep, 1.0, thickness, cv2.LINE_AA)
    soft = cv2.GaussianBlur(mask, (0, 0), 0.7 if is_ring else float(rng.uniform(1, 5)))
    tint = 1 - np.array(COFFEE, np.float32) / 255
    paper *= 1 - float(rng.uniform(0.15, 0.6 if is_ring else 0.4)) * soft[..., None] * tint


def _rule(sheet: Sheet, rng: np.random.Generator) -> None:
    """Print no lines, ruled lines or squares, a little askew."""
    cv2 = import_cv2()

    kind = rng.choice(3)
    if kind == 0:
        return
    height, width = sheet.image.shape[:2]
    pitch = float(rng.uniform(16, 44)) * sheet.scale
    skew = float(rng.uniform(-0.03, 0.03))
    faint = rng.uniform(0.6, 0.9, 3)
    colour = tuple(int(c) for c in sheet.image[height // 2, width // 2] * faint)
    for y in np.arange(-width * abs(skew), height + width * abs(skew), pitch):
        cv2.line(sheet.image, (0, round(y)), (width, round(y + skew * width)), colour, 1, cv2.LINE_AA)
    for x in np.arange(-height * abs(skew), width + height * abs(skew), pitch if kind == 2 else width):
        cv2.line(sheet.image, (round(x), 0), (round(x - skew * height), height), colour, 1, cv2.LINE_AA)


def _write_digits(sheet: Sheet, scans: Scans, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
    boxes: list[tuple[float, float, float, float]] = []
    labels: list[int] = []
    ink = rng.integers(len(INKS))
    for _ in range(rng.integers(3, 15)):
        pick = int(rng.integers(len(scans.masks)))
        alpha = _written(scans.masks[pick], rng, sheet.scale)
        spot = _free_spot(sheet, (alpha.shape[1], alpha.shape[0]), rng)
        if spot is None:
            continue
        ink = rng.integers(len(INKS)) if rng.random() < 0.3 else ink
        _blend(sheet.image, alpha, spot, INKS[ink])
        boxes.append(_ink_box(alpha, spot))
        labels.append(int(scans.class_id[pick]))
    return np.array(boxes, np.float32).reshape(-1, 4), np.array(labels, np.int64)


def _written(scan: Pixels, rng: np.random.Generator, scale: float) -> Floats:
    """Enlarge a scan smoothly, turn and shear it a little, and sharpen its grey to pen strokes; cut to the ink."""
    cv2 = import_cv2()

    size = float(np.exp(rng.uniform(*np.log(DIGIT_PX)))) * scale
    turn, shear, wide = rng.normal(0, 0.1), rng.normal(0, 0.1), rng.uniform(0.85, 1.15)
    zoom = size / 8
    cos, sin = zoom * np.cos(turn), zoom * np.sin(turn)
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.array([[wide, shear], [0, 1]])
    side = int(size * 1.6) + 4
    shift = side / 2 - linear @ np.array([3.5, 3.5])
    matrix = np.column_stack([linear, shift])
    grey = cv2.warpAffine(scan.astype(np.float32), matrix, (side, side), flags=cv2.INTER_CUBIC)
    alpha = np.clip((grey / 16 - rng.uniform(0.2, 0.36)) / rng.uniform(0.3, 0.5), 0, 1)
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    cut = alpha[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] * np.float32(rng.uniform(0.65, 1))
    faded: Floats = cut.astype(np.float32)
    return faded


def _ink_box(alpha: Floats, spot: tuple[int, int]) -> tuple[float, float, float, float]:
    seen = alpha > VISIBLE * alpha.max()
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    x, y = spot
    return (x + columns[0], y + rows[0], x + columns[-1] + 1, y + rows[-1] + 1)


def _blend(image: Pixels, alpha: Floats, spot: tuple[int, int], ink: tuple[int, int, int]) -> None:
    x, y = spot
    under = image[y : y + alpha.shape[0], x : x + alpha.shape[1]]
    cover = alpha[..., None]
    under[:] = under * (1 - cover) + np.array(ink, np.float32) * cover


def _free_spot(sheet: Sheet, wh: tuple[int, int], rng: np.random.Generator) -> tuple[int, int] | None:
    """Find where a box of this size stands clear of the ink already placed, and take it; None after 20 trials."""
    height, width = sheet.image.shape[:2]
    if wh[0] >= width or wh[1] >= height:
        return None
    taken = np.array(sheet.taken, np.float32).reshape(-1, 4)
    x, y = rng.integers(0, width - wh[0], 20), rng.integers(0, height - wh[1], 20)
    apart_x = (taken[:, 2] <= x[:, None]) | (taken[:, 0] >= (x + wh[0])[:, None])
    apart_y = (taken[:, 3] <= y[:, None]) | (taken[:, 1] >= (y + wh[1])[:, None])
    free = np.flatnonzero((apart_x | apart_y).all(axis=1))
    if not len(free):
        return None
    spot = (int(x[free[0]]), int(y[free[0]]))
    sheet.taken.append((spot[0], spot[1], spot[0] + wh[0], spot[1] + wh[1]))
    return spot


def _write_word(sheet: Sheet, rng: np.random.Generator) -> None:
    """Write a few letters in a row, each stroke bent a little."""
    size = float(rng.uniform(14, 50)) * sheet.scale
    letters = rng.integers(0, len(LETTERS), rng.integers(2, 8))
    spot = _free_spot(sheet, (int(size * 0.8 * len(letters)) + 4, int(size * 1.1) + 4), rng)
    if spot is None:
        return
    ink, thickness, slant = INKS[rng.integers(len(INKS))], int(rng.integers(1, 2 + int(size / 14))), rng.normal(0, 0.15)
    for i, letter in enumerate(letters):
        for stroke in LETTERS[letter]:
            xy = np.array(stroke) + rng.normal(0, 0.05, (len(stroke), 2))
            xy[:, 0] = (xy[:, 0] + (0.5 - xy[:, 1]) * slant) * 0.62 + i * 0.8 + 0.05
            _pen(sheet.image, xy * size + spot, ink, thickness)


def _scribble(sheet: Sheet, rng: np.random.Generator) -> None:
    """Draw a wandering line in free space: an underline, a doodle, something crossed out."""
    wh = (int(rng.uniform(60, 220) * sheet.scale), int(rng.uniform(8, 90) * sheet.scale))
    spot = _free_spot(sheet, wh, rng)
    if spot is None:
        return
    turns = int(rng.integers(4, 12))
    xy = np.column_stack([np.linspace(0, 1, turns) + rng.normal(0, 0.12, turns), rng.random(turns)]).clip(0, 1)
    _pen(sheet.image, xy * wh + spot, INKS[rng.integers(len(INKS))], int(rng.integers(1, 4)))


def _pen(image: Pixels, xy: NDArray[np.float64], ink: tuple[int, int, int], thickness: int) -> None:
    """Draw a smooth line through points, by halving its corners twice (Chaikin, 1974)."""
    cv2 = import_cv2()

    for _ in range(2):
        quarter, three = 0.75 * xy[:-1] + 0.25 * xy[1:], 0.25 * xy[:-1] + 0.75 * xy[1:]
        xy = np.concatenate([xy[:1], np.stack([quarter, three], axis=1).reshape(-1, 2), xy[-1:]])
    fixed = np.round(xy * 8).astype(np.int32)
    cv2.polylines(image, [fixed], isClosed=False, color=ink, thickness=thickness, lineType=cv2.LINE_AA, shift=3)


def _photograph(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Blur a little, change the brightness, and add grain."""
    cv2 = import_cv2()

    blur, gain, grain = rng.uniform(0, 1), rng.uniform(0.75, 1.05), rng.uniform(0.5, 7)
    soft = cv2.GaussianBlur(image, (0, 0), blur) if blur > 0.3 else image
    noise = rng.standard_normal(image.shape[:2], dtype=np.float32) * np.float32(grain)
    return np.clip(soft * np.float32(gain) + noise[..., None], 0, 255).astype(np.uint8)
