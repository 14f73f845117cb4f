"""How many images a second a session runs in one setting; what happens around the runs is not in it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from inference_engine.model import join_tensors
from inference_engine.sessions import Session, Tensors

#: Runs of a stream at least, however long one takes.
MIN_RUNS = 2


def make_batches(tensors: Sequence[Tensors], size: int, most: int = 4) -> list[Tensors]:
    """Join single images into some different batches of one size, taking images again where there are too few."""
    count = min(most, max(1, -(-len(tensors) // size)))
    endless = itertools.cycle(tensors)
    return [join_tensors(list(itertools.islice(endless, size))) for _ in range(count)]


def images_per_second(session: Session, batches: Sequence[Tensors], streams: int, seconds: float) -> float:
    """Run batches in so many threads for about so long, after one run of each thread that does not count.

    Raises:
        EngineError: a run failed.
    """
    if streams == 1:
        return _one_stream(session, batches, seconds, Barrier(1))
    together = Barrier(streams)
    with ThreadPoolExecutor(streams) as pool:
        rates = [pool.submit(_one_stream, session, batches, seconds, together) for _ in range(streams)]
    # A stream that fails breaks the others' barrier: the failure itself says more than the broken barrier.
    failures = [error for error in (rate.exception() for rate in rates) if error]
    failures.sort(key=lambda error: isinstance(error, RuntimeError))
    if failures:
        raise failures[0]
    return sum(rate.result() for rate in rates)


def _one_stream(session: Session, batches: Sequence[Tensors], seconds: float, together: Barrier) -> float:
    try:
        session.run(batches[0])
    except BaseException:
        together.abort()
        raise
    together.wait()
    started, images = time.perf_counter(), 0
    for runs, batch in enumerate(itertools.cycle(batches), start=1):
        session.run(batch)
        images += len(next(iter(batch.values())))
        elapsed = time.perf_counter() - started
        if elapsed >= seconds and runs >= MIN_RUNS:
            break
    return images / elapsed
