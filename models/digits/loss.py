"""What the digit detector is trained by: task-aligned assignment, then CIoU for boxes and cross entropy for scores.

Assignment as in task-aligned detection (Feng et al., 2021): a cell is as good for a digit as `score**0.5 * iou**4`
says, the best few cells of each digit learn it, and the score that a cell must give is how good it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

#: Cells that learn each digit.
TOP_CELLS = 8
#: Cells whose centre lies this near to a digit's centre may learn it, even where the digit is narrower, in pixels.
REACH_PX = 8.0
BOX_GAIN = 2.5


@dataclass(frozen=True, slots=True)
class Truth:
    """Digits of a batch, padded to the longest: `xyxy` (n, m, 4), `class_id` (n, m), `valid` (n, m) bool."""

    xyxy: Tensor
    class_id: Tensor
    valid: Tensor


@dataclass(frozen=True, slots=True)
class Assignment:
    """What each cell must say: `scores` (n, anchors, classes), `xyxy` (n, anchors, 4); `weight` is 0 where no digit."""

    scores: Tensor
    xyxy: Tensor
    weight: Tensor


def detection_loss(cxcywh: Tensor, logits: Tensor, centres: Tensor, truth: Truth) -> Tensor:
    """Give the loss of a batch: boxes `(n, 4, anchors)`, logits `(n, classes, anchors)`, centres `(2, anchors)`."""
    xy, half = cxcywh.transpose(1, 2).split(2, 2)
    xyxy = torch.cat([xy - half / 2, xy + half / 2], 2)
    logits = logits.transpose(1, 2)
    with torch.no_grad():
        wanted = assign(logits.sigmoid(), xyxy, centres.T, truth)
    total = wanted.weight.sum().clamp(min=1)
    score_loss = functional.binary_cross_entropy_with_logits(logits, wanted.scores, reduction="sum")
    chosen = wanted.weight > 0
    box_loss = ((1 - ciou(xyxy[chosen], wanted.xyxy[chosen])) * wanted.weight[chosen]).sum()
    return (score_loss + BOX_GAIN * box_loss) / total


def assign(scores: Tensor, xyxy: Tensor, centres: Tensor, truth: Truth) -> Assignment:
    """Choose the cells that learn each digit; a cell between two digits learns the one that it overlaps most."""
    near = _near(centres, truth)
    index = truth.class_id[:, None, :].expand(-1, scores.shape[1], -1)
    overlap = ciou(xyxy[:, None], truth.xyxy[:, :, None]).clamp(min=0) * near
    quality = scores.gather(2, index).transpose(1, 2).sqrt() * overlap**4
    best = quality.topk(TOP_CELLS, dim=2)
    chosen = torch.zeros_like(quality).scatter_(2, best.indices, (best.values > 0).float())
    owner = (overlap * chosen).argmax(1, keepdim=True)
    chosen *= torch.zeros_like(chosen).scatter_(1, owner, 1.0)
    quality = quality * chosen
    scale = (overlap * chosen).amax(2, keepdim=True) / quality.amax(2, keepdim=True).clamp(min=1e-12)
    weight = (quality * scale).amax(1)
    owner = owner.squeeze(1)
    one_hot = functional.one_hot(truth.class_id.gather(1, owner), scores.shape[2])
    target = truth.xyxy.gather(1, owner[..., None].expand(-1, -1, 4))
    return Assignment(one_hot * weight[..., None], target, weight)


def _near(centres: Tensor, truth: Truth) -> Tensor:
    """Say which cells may learn which digit: `(n, m, anchors)` of 0 and 1."""
    low, high = truth.xyxy.split(2, 2)
    reach = ((high - low) / 2).clamp(min=REACH_PX)
    apart = (centres[None, None] - ((low + high) / 2)[:, :, None]).abs()
    return ((apart < reach[:, :, None]).all(3) & truth.valid[..., None]).float()


def ciou(a: Tensor, b: Tensor) -> Tensor:
    """Give the complete IoU (Zheng et al., 2020) of boxes `(..., 4)` as `x0, y0, x1, y1`, broadcast."""
    a_low, a_high = a.split(2, -1)
    b_low, b_high = b.split(2, -1)
    a_wh, b_wh = (a_high - a_low).clamp(min=1e-3), (b_high - b_low).clamp(min=1e-3)
    shared = (torch.minimum(a_high, b_high) - torch.maximum(a_low, b_low)).clamp(min=0).prod(-1)
    iou = shared / (a_wh.prod(-1) + b_wh.prod(-1) - shared + 1e-7)
    hull = (torch.maximum(a_high, b_high) - torch.minimum(a_low, b_low)).pow(2).sum(-1) + 1e-7
    apart = (a_low + a_high - b_low - b_high).pow(2).sum(-1) / 4
    slant = 4 / math.pi**2 * (torch.atan(a_wh[..., 0] / a_wh[..., 1]) - torch.atan(b_wh[..., 0] / b_wh[..., 1])).pow(2)
    with torch.no_grad():
        trade = slant / (1 - iou + slant + 1e-7)
    return iou - apart / hull - trade * slant
