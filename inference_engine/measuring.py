"""Strategy `measured`: open every candidate, compare what they say, time them, take the fastest that agrees."""

from __future__ import annotations

from collections.abc import Sequence

from inference_engine.contest import Contest
from inference_engine.images import Image
from inference_engine.machine import Machine
from inference_engine.negotiation import Decision
from inference_engine.resolution_cache import ResolutionCache, resolution_key
from inference_engine.samples import generated_images
from inference_engine.sessions import SessionOptions
from inference_engine.tuning import Limits

#: Pictures that are run at most: enough to compare, few enough to keep as tensors.
MOST_IMAGES = 12
#: Enough for five candidates of 10 GFLOP on two cores.
DEFAULT_BUDGET_S = 30.0
_GENERATED, _GENERATED_HW = 8, (480, 640)


def measure(
    decision: Decision,
    images: Sequence[Image] | None,
    budget_s: float,
    limits: Limits | None = None,
    *,
    slice_s: float = 0.5,
    options: SessionOptions = SessionOptions(),  # noqa: B008 (frozen)
) -> Decision:
    """Give the decision with the fastest candidate that agrees chosen, and all figures beside the candidates.

    Args:
        decision: of strategy `order`; its rejected candidates stay rejected.
        images: `(H, W, 3)` uint8 RGB, the first twelve are run; None: generated ones.
        budget_s: no candidate is opened and no round begins later; what is open by then gets one short slice.
        limits: cores and runs at once; None: one core, one run.
        slice_s: of one setting in one round at most; a smaller budget makes it shorter.
        options: what sessions are opened with besides what is measured.
    """
    pictures = list(images or generated_images(_GENERATED, _GENERATED_HW))[:MOST_IMAGES]
    contest = Contest(decision, pictures, limits or Limits(1), (budget_s, slice_s), options)
    try:
        contest.run()
    finally:
        contest.close()
    return contest.result(_source(images))


def resolve(  # noqa: PLR0913 (each keyword is one choice of the caller)
    decision: Decision,
    machine: Machine,
    images: Sequence[Image] | None,
    *,
    budget_s: float = DEFAULT_BUDGET_S,
    limits: Limits | None = None,
    cache: ResolutionCache | None = None,
    options: SessionOptions = SessionOptions(),  # noqa: B008 (frozen)
) -> Decision:
    """Give what the cache remembers of this question, else measure and remember it.

    A measurement that its budget cut short is not remembered: a later, longer one should not be kept from happening.
    """
    if decision.chosen is None:
        return decision
    bounds = limits or Limits(machine.cpu_count)
    key = resolution_key(decision, machine, bounds, _source(images), options)
    if cache and (known := cache.read(key, decision)):
        return known
    found = measure(decision, images, budget_s, bounds, options=options)
    if cache and found.chosen and found.measured and found.measured.is_complete:
        cache.write(key, found)
    return found


def _source(images: Sequence[Image] | None) -> str:
    return "given" if images else "generated"
