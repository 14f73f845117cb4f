"""Trying again what may work then, within the deadline of the thread's block."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from fetching.connecting import left_s
from fetching.errors import FetchError

logger = logging.getLogger(__name__)
T = TypeVar("T")

_FIRST_WAIT_S, _MAX_WAIT_S = 0.25, 8.0


def tried(call: Callable[[], T], attempts: int, longest_s: float = 0.0) -> T:
    """What `call` gives, or its last error; waits as long as the other side asks, else twice as long each time.

    A wait that the deadline does not hold is not begun: the error says it now, and how long the other side wants.

    Args:
        attempts: calls at most.
        longest_s: how long a call may take beyond the deadline's reach, such as inside a library; one that could
            outlast the deadline is not begun, but for the first.
    """
    for number in range(1, attempts):
        try:
            return call()
        except FetchError as error:
            wait_s = _wait_s(error, number)
            if not error.retryable or wait_s + longest_s >= left_s():
                raise
            logger.debug("%s; asked again in %.1f s", error, wait_s)
            time.sleep(wait_s)
    return call()


def _wait_s(error: FetchError, number: int) -> float:
    if error.retry_after_s is not None:
        return error.retry_after_s
    grown = _FIRST_WAIT_S * float(1 << (number - 1)) * random.uniform(1.0, 1.5)  # noqa: S311 (jitter for crowds, no secret)
    return min(grown, _MAX_WAIT_S)
