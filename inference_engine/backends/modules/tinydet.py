"""A small one-stage detector without anchor boxes, for starter models and tests.

Convolutions with batch norm and ReLU, which every runtime fuses and which quantise well; features at strides 8 and 16,
joined once from coarse to fine; each cell of a grid says one box and the score of every class. The output has the
layout of YOLOv8's exports, so that the `yolo` family decodes it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Pixels of the network's input for one cell of each grid, finest first.
STRIDES = (8, 16)
#: First score of every class, so that the many empty cells do not swamp the first steps (RetinaNet, section 4.1).
PRIOR = 0.01


def build(num_classes: int, width: int = 16, depth: int = 2) -> TinyDetector:
    """Build the detector with random weights.

    Args:
        num_classes: classes, at least one.
        width: channels after the first convolution; the rest are multiples of it. A multiple of 8 runs fastest.
        depth: residual blocks at each of the two strides, at least one.
    """
    if min(num_classes, width, depth) < 1:
        raise ValueError(f"expected num_classes, width and depth of at least 1, not {num_classes}, {width}, {depth}")
    return TinyDetector(num_classes, width, depth)


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Give a convolution that keeps the size (over the stride), with batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    """Half the channels by a 1x1 convolution, back by a 3x3 one, and the input added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = conv(channels, channels // 2, kernel=1)
        self.expand = conv(channels // 2, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(n, c, h, w)` to the same shape."""
        added: Tensor = x + self.expand(self.squeeze(x))
        return added


class Context(nn.Module):
    """Let each cell see its surroundings by pooling twice over 5x5 (the idea of YOLOv5's SPPF)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = conv(channels, channels // 2, kernel=1)
        self.join = conv(channels // 2 * 3, channels, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(n, c, h, w)` to the same shape."""
        near = self.squeeze(x)
        wide = functional.max_pool2d(near, 5, 1, 2)
        joined: Tensor = self.join(torch.cat([near, wide, functional.max_pool2d(wide, 5, 1, 2)], 1))
        return joined


class Head(nn.Module):
    """Say a box (shift of the centre, size) and the class logits of each cell of one grid."""

    def __init__(self, channels: int, hidden: int, num_classes: int) -> None:
        super().__init__()
        self.stem = conv(channels, hidden)
        self.predict = nn.Conv2d(hidden, 4 + num_classes, 1)
        nn.init.normal_(self.predict.weight, std=0.01)
        score = math.log(PRIOR / (1 - PRIOR))
        size = 1.85  # softplus of it is 2: boxes begin two strides wide
        self.predict.bias = nn.Parameter(torch.tensor([0.0, 0.0, size, size] + [score] * num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Map `(n, channels, h, w)` to `(n, 4 + num_classes, h * w)`, cells row by row."""
        rows: Tensor = self.predict(self.stem(x)).flatten(2)
        return rows


class TinyDetector(nn.Module):
    """The network; `forward` decodes, `raw` is what a training loss needs."""

    def __init__(self, num_classes: int, width: int, depth: int) -> None:
        super().__init__()
        fine, coarse = 3 * width, 6 * width
        self.stem = nn.Sequential(conv(3, width, stride=2), conv(width, 2 * width, stride=2))
        self.fine = nn.Sequential(conv(2 * width, fine, stride=2), *[Residual(fine) for _ in range(depth)])
        self.coarse = nn.Sequential(
            conv(fine, coarse, stride=2), *[Residual(coarse) for _ in range(depth)], Context(coarse)
        )
        self.lateral = conv(coarse, fine, kernel=1)
        self.join = nn.Sequential(conv(2 * fine, fine, kernel=1), Residual(fine))
        self.heads = nn.ModuleList([Head(fine, fine, num_classes), Head(coarse, fine, num_classes)])

    def raw(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Give the raw rows `(n, 4 + num_classes, anchors)`, cell centres `(2, anchors)` and strides `(anchors,)`."""
        fine = self.fine(self.stem(images))
        coarse = self.coarse(fine)
        raised = functional.interpolate(self.lateral(coarse), scale_factor=2.0, mode="nearest")
        maps = (self.join(torch.cat([fine, raised], 1)), coarse)
        rows = torch.cat([head(x) for head, x in zip(self.heads, maps, strict=True)], 2)
        grids = [cells(x, stride) for x, stride in zip(maps, STRIDES, strict=True)]
        steps = [grid.new_full((grid.shape[1],), stride) for grid, stride in zip(grids, STRIDES, strict=True)]
        return rows.float(), torch.cat(grids, 1), torch.cat(steps)

    def forward(self, images: Tensor) -> Tensor:
        """Detect on a batch.

        Args:
            images: `(n, 3, h, w)` float32 RGB of 0 to 1, height and width multiples of 16.

        Returns:
            `(n, 4 + num_classes, anchors)`: `cx, cy, w, h` in pixels of the input, then the classes' scores.
        """
        rows, centres, strides = self.raw(images)
        return torch.cat([boxes(rows, centres, strides), rows[:, 4:].sigmoid()], 1)


def boxes(rows: Tensor, centres: Tensor, strides: Tensor) -> Tensor:
    """Decode the first four rows to `cx, cy, w, h` in pixels: a free shift from the cell's centre, a positive size.

    Distances to the four sides, as FCOS has them, cannot say a box that misses its cell's centre, and the thinnest
    digits are narrower than a cell.
    """
    return torch.cat([centres + rows[:, :2] * strides, functional.softplus(rows[:, 2:4]) * strides], 1)


def cells(features: Tensor, stride: int) -> Tensor:
    """Give the centres of a feature map's cells in pixels, `(2, h * w)` float32: x, then y, row by row."""
    height, width = (torch.arange(int(size), device=features.device) for size in features.shape[2:])
    y, x = torch.meshgrid(height, width, indexing="ij")
    return (torch.stack([x.flatten(), y.flatten()]) + 0.5) * stride
