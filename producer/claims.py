"""Keeping a claim while its work is done: a thread renews the lease, so that long work is nobody else's."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator

from jobstore.errors import JobStoreError

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def kept(renew: Callable[[], bool], lease_s: float) -> Iterator[None]:
    """Renew a lease three times in its length until the block ends, or until somebody else has it.

    What the block writes at its end has to be fenced by the claim; a database that is away for a while is no loss.
    """
    is_over = threading.Event()

    def renewing() -> None:
        while not is_over.wait(lease_s / 3):
            try:
                if not renew():
                    return
            except JobStoreError as error:
                logger.warning("a claim could not be renewed: %s", error, extra={"event": "claim_not_renewed"})

    thread = threading.Thread(target=renewing, name="claim", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
