"""Trying again for a while what may work in a moment: the database that is busy or starts, the server that is away."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, Any

import tenacity

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)


def patient(
    is_passing: Callable[[BaseException], bool],
    patience_s: float,
    *,
    first_wait_s: float,
    most_wait_s: float,
    most_tries: float = math.inf,
) -> tenacity.Retrying:
    """Give what calls a function until it works, fails for good, or the patience is over; its last error is raised.

    Waits double from the first to the most, and each is up to as much longer as the first, so that a crowd spreads.
    Several threads may use one.

    Args:
        is_passing: whether the same call may work in a moment.
        patience_s: seconds from the first try, calls and waits together, after which no other is begun.
    """
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_passing),
        stop=tenacity.stop_before_delay(patience_s) | tenacity.stop_after_attempt(most_tries),  # type: ignore[arg-type]
        wait=tenacity.wait_exponential(first_wait_s, most_wait_s) + tenacity.wait_random(0, first_wait_s),
        before_sleep=_tell,
        sleep=_sleep,
        reraise=True,
    )


def _tell(state: Any) -> None:
    """By the standard library's logging: what prints elsewhere could stand among results on standard output."""
    words = str(state.outcome.exception()).partition("\n")[0]  # of a database's error the statement follows
    logger.warning("%s; tried again in %.2f s", words, state.next_action.sleep, extra={"event": "tried_again"})


def _sleep(seconds: float) -> None:
    time.sleep(seconds)
