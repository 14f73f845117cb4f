"""Pictures to measure with where the caller has none: seeded noise with shapes, the same on every machine."""

from __future__ import annotations

import numpy as np

from inference_engine.images import Image


def generated_images(count: int, hw: tuple[int, int], seed: int = 0) -> list[Image]:
    """Give `(H, W, 3)` uint8 pictures: smooth grounds, noise, and some boxes and discs of plain colours."""
    return [_picture(np.random.default_rng([seed, index]), hw) for index in range(count)]


def _picture(rng: np.random.Generator, hw: tuple[int, int]) -> Image:
    y, x = np.mgrid[: hw[0], : hw[1]]
    slope = rng.uniform(-60, 60, 2)
    ground = 128 + slope[0] * y / hw[0] + slope[1] * x / hw[1]
    canvas = ground[:, :, None] + rng.normal(0, 8, (*hw, 3))
    for index in range(rng.integers(6, 14)):
        centre, size = rng.uniform(0.1, 0.9, 2) * hw, rng.uniform(0.02, 0.15, 2) * hw
        far_y, far_x = np.abs(y - centre[0]) / size[0], np.abs(x - centre[1]) / size[1]
        inside = (far_y**2 + far_x**2 < 1) if index % 2 else np.maximum(far_y, far_x) < 1
        canvas[inside] = rng.uniform(0, 255, 3)
    picture: Image = np.clip(canvas, 0, 255).astype(np.uint8)
    return picture
