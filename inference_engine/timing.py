"""How many images a second a session runs in one setting; what happens around the runs is not in it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from inference_engine.model import join_tensors, shapes_of
from inference_engine.sessions import Session, Tensors

#: Runs of a stream at least, however long one takes.
MIN_RUNS = 2


def make_batches(tensors: Sequence[Tensors], size: int, most: int = 4) -> list[Tensors]:
    """Join single images into some different batches of one size, taking images again where there are too few.

    Images of different shapes come into different batches; each shape has its share of `most`, and one at least.
    """
    alike: dict[object, list[Tensors]] = {}
    for one in tensors:
        alike.setdefault(shapes_of(one), []).append(one)
    return [
        join_tensors(list(itertools.islice(endless, size)))
        for group in alike.values()
        for endless in [itertools.cycle(group)]
        for _ in range(min(max(1, most * len(group) // len(tensors)), -(-len(group) // size)))
    ]


def images_per_second(session: Session, batches: Sequence[Tensors], streams: int, seconds: float) -> float:
    """Run batches in so many threads for about so long, after a run of each thread and shape that does not count.

    Batches of several shapes take different times, so that they are run in whole rounds.

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
    first = {shapes_of(batch): batch for batch in reversed(batches)}
    at_a_time = len(batches) if len(first) > 1 else 1
    try:
        for batch in first.values():
            session.run(batch)
    except BaseException:
        together.abort()
        raise
    together.wait()
    started, images = time.perf_counter(), 0
    for runs, batch in enumerate(itertools.cycle(batches), start=1):
        session.run(batch)
        images += len(next(iter(batch.values())))
        elapsed = time.perf_counter() - started
        if elapsed >= seconds and runs >= MIN_RUNS and runs % at_a_time == 0:
            break
    return images / elapsed
