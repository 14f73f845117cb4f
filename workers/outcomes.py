"""What an item's error becomes. Pure."""

from __future__ import annotations

import logging
from typing import Any

from inference_engine.errors import EngineError, ImageUnreadable
from jobstore.errors import JobStoreError
from jobstore.schema import ItemError, Outcome, OutcomeState
from videos.errors import VideoUnreadable
from workers.flights import Flight
from workers.media import MediaError

logger = logging.getLogger(__name__)

#: Stored with the outcome of an item that hung.
ITEM_TIMEOUT = "item_timeout"


def is_retryable(error: Exception) -> bool:
    """Whether the same item may work when it is tried again."""
    return isinstance(error, MediaError | EngineError | JobStoreError) and error.retryable


def item_error(error: Exception) -> ItemError:
    """A typed code and words; what is not ours is `internal_error`, with the class that was raised."""
    if isinstance(error, ImageUnreadable):
        return ItemError(error.reason, str(error))
    if isinstance(error, MediaError | EngineError | VideoUnreadable):
        return ItemError(error.code, str(error))
    logger.error("an item raised %s", type(error).__name__, exc_info=error, extra={"event": "internal_error"})
    return ItemError("internal_error", f"{type(error).__name__}: {error}")


def failed(flight: Flight, error: ItemError) -> Outcome:
    """An item's end without a prediction."""
    return ended(flight, OutcomeState.FAILED, error=error)


def timeout(flight: Flight) -> ItemError:
    """Why an item that hung ended."""
    where = flight.stage or "the model's forward"
    return ItemError(ITEM_TIMEOUT, f"{flight.item.uri}: {where} took longer than its limit; its process was replaced")


def ended(flight: Flight, state: OutcomeState, **found: Any) -> Outcome:
    """An item's or a frame's end, with what was `found`: a record and perhaps a blob, or an error."""
    return Outcome(
        flight.item.idx,
        state,
        frame=flight.frame,
        timings_ms=rounded(flight),
        tries=flight.tries,
        timestamp_s=flight.timestamp_s,
        content=flight.content,
        **found,
    )


def rounded(flight: Flight) -> dict[str, float]:
    """Milliseconds by stage, as they are stored."""
    return {stage: round(value, 2) for stage, value in flight.timings_ms.items()}
