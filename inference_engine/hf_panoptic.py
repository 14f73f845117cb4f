"""A picture divided among the masks of its queries: every pixel goes to one mask at most. Pure.

As `post_process_panoptic_segmentation` of transformers 5's image processors does it (MaskFormer, arXiv 2107.06278,
section 3.4): a pixel goes to the mask whose probability there, times the score of its class, is the greatest; what
keeps too little of its own area is dropped; masks of one class of stuff become one segment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference_engine.masks import InstancesRLEMasks
from inference_engine.tasks.panoptic_segmentation import PanopticSegments

Plane = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Queries:
    """Queries of one image that stand for something.

    Attributes:
        class_id: `(n,)`.
        confidence: `(n,)`.
    """

    class_id: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Rules:
    """How a picture is divided.

    Attributes:
        mask_threshold: probability from which a pixel is a mask's own.
        overlap_threshold: share of its own pixels that a mask must keep more than.
        stuff: class ids of which all masks are one segment.
        shown: class ids that are kept in the end.
        is_cut: a segment has none but its mask's own pixels, which are then told by the bare probability (EoMT);
            else by the probability times the score, and a segment has whatever no other mask claims more.
    """

    mask_threshold: float
    overlap_threshold: float
    stuff: frozenset[int]
    shown: frozenset[int]
    is_cut: bool = False


def divided(
    queries: Queries, planes: Iterable[Plane], rules: Rules, image_hw: tuple[int, int], class_names: tuple[str, ...]
) -> PanopticSegments:
    """Segments of one image, the surest first.

    Args:
        planes: probabilities `(height, width)` of each query's mask at the image's size; one is looked at at a time.
    """
    owner, own = _owners(queries, planes, rules, image_hw)
    kept = [query for query in range(len(own)) if _is_kept(owner == query, own[query], rules)]
    groups = _joined(kept, queries.class_id.tolist(), rules.stuff)
    sure = [max(group, key=lambda query: float(queries.confidence[query])) for group in groups]
    order = np.argsort(-queries.confidence[sure], kind="stable").tolist() if sure else []
    order = [place for place in order if int(queries.class_id[sure[place]]) in rules.shown]
    chosen = np.asarray([sure[place] for place in order], dtype=np.int64)
    masks = InstancesRLEMasks.from_dense(_masks([groups[place] for place in order], owner, own, rules), image_hw)
    class_id = queries.class_id[chosen]
    is_thing = np.asarray([one not in rules.stuff for one in class_id.tolist()], dtype=np.bool_)
    return PanopticSegments(queries.confidence[chosen], class_id, is_thing, masks, image_hw, class_names)


def _owners(
    queries: Queries, planes: Iterable[Plane], rules: Rules, image_hw: tuple[int, int]
) -> tuple[npt.NDArray[np.int32], list[InstancesRLEMasks]]:
    """The query that each pixel goes to, -1 where there is none, and each query's own pixels."""
    best = np.full(image_hw, -np.inf, dtype=np.float32)
    owner = np.full(image_hw, -1, dtype=np.int32)
    own = []
    for query, (plane, score) in enumerate(zip(planes, queries.confidence, strict=True)):
        weighted = plane * score
        # The first of equal ones has the pixel.
        is_better = weighted > best
        best[is_better], owner[is_better] = weighted[is_better], query
        inside = (plane if rules.is_cut else weighted) >= np.float32(rules.mask_threshold)
        own.append(InstancesRLEMasks.from_dense([inside[None]], image_hw))
    return owner, own


def _is_kept(mine: npt.NDArray[np.bool_], own: InstancesRLEMasks, rules: Rules) -> bool:
    area, left = int(own.areas()[0]), int(mine.sum())
    if not area or not left or (rules.is_cut and not (mine & own[0]).any()):
        return False
    return left / area > rules.overlap_threshold


def _joined(kept: Sequence[int], class_id: Sequence[int], stuff: frozenset[int]) -> list[list[int]]:
    """Queries by segment: one each, those of one class of stuff together."""
    groups: dict[tuple[str, int], list[int]] = {}
    for query in kept:
        key = ("class", class_id[query]) if class_id[query] in stuff else ("query", query)
        groups.setdefault(key, []).append(query)
    return list(groups.values())


def _masks(
    groups: Sequence[Sequence[int]],
    owner: npt.NDArray[np.int32],
    own: Sequence[InstancesRLEMasks],
    rules: Rules,
) -> Iterator[npt.NDArray[np.bool_]]:
    """Each segment `(1, height, width)`, one in memory at a time."""
    for group in groups:
        made = np.zeros(owner.shape, dtype=np.bool_)
        for query in group:
            made |= (owner == query) & own[query][0] if rules.is_cut else owner == query
        yield made[None]
