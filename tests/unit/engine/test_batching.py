"""Images of many threads in one batch, and what one bad image, little memory or an end costs."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from inference_engine.batching import BatchPolicy, MicroBatcher
from inference_engine.errors import OutOfMemory, OutputInvalid, SessionFailed
from inference_engine.testing import ScriptedSession

PATIENCE_S = 20


def image(number):
    return {"images": np.full((1, 3, 4, 4), number, np.float32)}


def weigh(pixels):
    """An answer that depends on the image alone."""
    return np.array([[pixels.mean(), np.sqrt(pixels.sum() + 1)]], np.float32)


class Gate:
    """A forward that waits until it is opened, so that requests pile up behind the first batch."""

    def __init__(self, forward):
        self._forward = forward
        self.entered, self.opened = threading.Event(), threading.Event()

    def __call__(self, tensors):
        self.entered.set()
        assert self.opened.wait(PATIENCE_S)
        return self._forward(tensors)


@pytest.fixture
def start():
    """A function that starts a batcher, which is closed at the end."""
    started = []

    def make(forward, **policy):
        started.append(MicroBatcher(forward, BatchPolicy(**policy)))
        return started[-1]

    yield make
    for batcher in started:
        batcher.close()


def run_together(start, session, numbers, **policy):
    """Hand over a first image, hold its batch, hand over the rest from many threads; the futures in order."""
    gate = Gate(session.run)
    batcher = start(gate, max_wait_s=0, **policy)
    first = batcher.submit(image(0))
    assert gate.entered.wait(PATIENCE_S)
    with ThreadPoolExecutor(8) as pool:
        futures = list(pool.map(lambda number: batcher.submit(image(number)), numbers))
    gate.opened.set()
    first.result(PATIENCE_S)
    return batcher, futures


def answers(futures):
    return [future.exception(PATIENCE_S) or future.result()["output0"].tobytes() for future in futures]


def clean(numbers):
    session = ScriptedSession(weigh)
    return [session.run(image(number))["output0"].tobytes() for number in numbers]


def test_images_of_many_threads_share_a_batch(start):
    session = ScriptedSession(weigh)

    batcher, futures = run_together(start, session, range(1, 17), max_batch_size=8)

    assert answers(futures) == clean(range(1, 17))
    assert session.batch_sizes == [1, 8, 8]
    assert (batcher.batches, batcher.images) == (3, 17)


def test_a_raising_image_fails_alone_and_its_neighbours_bytes_are_those_of_a_clean_run(start):
    session = ScriptedSession(weigh, marked=lambda pixels: pixels[0, 0, 0] in (3, 6))

    _, futures = run_together(start, session, range(1, 9), max_batch_size=8)

    found = answers(futures)
    assert all(isinstance(found[index], SessionFailed) for index in (2, 5))
    assert [found[i] for i in range(8) if i not in (2, 5)] == clean([1, 2, 4, 5, 7, 8])


def test_an_image_of_another_shape_fails_nobody_else(start):
    gate = Gate(ScriptedSession(weigh).run)
    batcher = start(gate, max_batch_size=8, max_wait_s=0)
    first = batcher.submit(image(0))
    assert gate.entered.wait(PATIENCE_S)

    futures = [batcher.submit(image(1)), batcher.submit({"images": np.ones((1, 3, 5, 5), np.float32)})]
    futures += [batcher.submit({"other": np.ones((1, 3, 4, 4), np.float32)}), batcher.submit(image(2))]
    gate.opened.set()

    first.result(PATIENCE_S)
    assert [answers(futures)[index] for index in (0, 3)] == clean([1, 2])


def test_little_memory_halves_the_batch_and_is_remembered(start):
    session = ScriptedSession(weigh, fits=3)

    batcher, futures = run_together(start, session, range(1, 17), max_batch_size=8)

    assert answers(futures) == clean(range(1, 17))
    assert batcher.max_batch_size == 2
    before = len(session.batch_sizes)
    assert answers([batcher.submit(image(number)) for number in range(20)]) == clean(range(20))
    assert max(session.batch_sizes[before:]) <= 2


def test_an_image_that_never_fits_is_out_of_memory_alone(start):
    session = ScriptedSession(weigh, fits=0)
    batcher = start(session.run, max_batch_size=4, max_wait_s=0)

    assert isinstance(batcher.submit(image(1)).exception(PATIENCE_S), OutOfMemory)


def test_a_full_batch_does_not_wait(start):
    session = ScriptedSession(weigh)
    batcher = start(session.run, max_batch_size=4, max_wait_s=10 * PATIENCE_S)

    futures = [batcher.submit(image(number)) for number in range(4)]

    assert answers(futures) == clean(range(4))
    assert session.batch_sizes == [4]


def test_a_batch_that_is_not_full_leaves_after_its_wait(start):
    session = ScriptedSession(weigh)
    batcher = start(session.run, max_batch_size=4, max_wait_s=0.05)
    begin = time.monotonic()

    future = batcher.submit(image(1))

    assert answers([future]) == clean([1])
    assert time.monotonic() - begin >= 0.05
    assert session.batch_sizes == [1]


@pytest.mark.parametrize("max_batch_size", [1, 4])
@pytest.mark.parametrize("streams", [1, 2, 4])
def test_several_streams_answer_every_image(start, streams, max_batch_size):
    session = ScriptedSession(weigh)
    batcher = start(session.run, max_batch_size=max_batch_size, max_wait_s=0.001, streams=streams)

    with ThreadPoolExecutor(8) as pool:
        futures = list(pool.map(lambda number: batcher.submit(image(number)), range(200)))

    assert answers(futures) == clean(range(200))
    assert (batcher.images, batcher.batches) == (200, len(session.batch_sizes))


def test_streams_that_race_for_the_last_images_leave_none_behind(start):
    # A short wait and few images make the streams' deadlines and arrivals meet; each round ends without a close.
    for _ in range(40):
        batcher = start(ScriptedSession(weigh).run, max_batch_size=4, max_wait_s=0.001, streams=4)
        with ThreadPoolExecutor(8) as pool:
            futures = list(pool.map(lambda number, to=batcher: to.submit(image(number)), range(100)))
        assert all(future.exception(PATIENCE_S) is None for future in futures)
        batcher.close()


def test_as_many_runs_as_streams_are_under_way_at_once(start):
    meeting = threading.Barrier(3)
    session = ScriptedSession(weigh)

    def forward(tensors):
        meeting.wait(PATIENCE_S)  # passes only when three runs are here together
        return session.run(tensors)

    batcher = start(forward, max_batch_size=1, streams=3)

    with ThreadPoolExecutor(3) as pool:
        futures = list(pool.map(lambda number: batcher.submit(image(number)), range(3)))

    assert answers(futures) == clean(range(3))


@pytest.mark.parametrize("max_batch_size", [1, 4])
def test_no_more_runs_than_streams_are_under_way_at_once(start, max_batch_size):
    entered, opened = threading.Semaphore(0), threading.Event()
    session = ScriptedSession(weigh)

    def forward(tensors):
        entered.release()
        assert opened.wait(PATIENCE_S)
        return session.run(tensors)

    batcher = start(forward, max_batch_size=max_batch_size, max_wait_s=0, streams=2)
    with ThreadPoolExecutor(12) as pool:
        futures = [pool.submit(batcher.submit, image(number)) for number in range(12)]
        try:
            assert entered.acquire(timeout=PATIENCE_S)
            assert entered.acquire(timeout=PATIENCE_S)
            assert not entered.acquire(timeout=0.1)
        finally:
            opened.set()

    assert answers([future.result() for future in futures]) == clean(range(12))


@pytest.mark.parametrize("max_batch_size", [1, 3])
@pytest.mark.parametrize("streams", [1, 3])
def test_close_answers_everything_that_was_handed_over(streams, max_batch_size):
    session = ScriptedSession(weigh)
    batcher = MicroBatcher(session.run, BatchPolicy(max_batch_size, max_wait_s=PATIENCE_S, streams=streams))
    futures = [batcher.submit(image(number)) for number in range(20)]

    batcher.close()

    assert all(future.done() for future in futures)
    assert answers(futures) == clean(range(20))


@pytest.mark.parametrize("max_batch_size", [1, 3])
def test_a_closed_batcher_refuses_more_and_closes_twice(max_batch_size):
    batcher = MicroBatcher(ScriptedSession(weigh).run, BatchPolicy(max_batch_size))
    batcher.close()
    batcher.close()

    with pytest.raises(SessionFailed, match="closed"):
        batcher.submit(image(1))


def test_submitting_while_closing_answers_or_refuses_and_never_hangs():
    batcher = MicroBatcher(ScriptedSession(weigh).run, BatchPolicy(4, max_wait_s=0, streams=2))
    begun = threading.Event()

    def hand_over(number):
        begun.set()
        try:
            return batcher.submit(image(number))
        except SessionFailed:
            return None

    with ThreadPoolExecutor(4) as pool:
        results = pool.map(hand_over, range(400))
        assert begun.wait(PATIENCE_S)
        batcher.close()
        futures = [future for future in results if future]

    assert all(isinstance(answer, bytes) for answer in answers(futures))


def test_a_cancelled_image_stops_nobody(start):
    gate = Gate(ScriptedSession(weigh).run)
    batcher = start(gate, max_batch_size=4, max_wait_s=0)
    first = batcher.submit(image(0))
    assert gate.entered.wait(PATIENCE_S)
    futures = [batcher.submit(image(number)) for number in (1, 2, 3)]

    assert futures[1].cancel()
    gate.opened.set()

    assert answers([first, futures[0], futures[2]]) == clean([0, 1, 3])
    assert answers([batcher.submit(image(4))]) == clean([4])


@pytest.mark.parametrize("rows", [0, 2])
def test_an_output_without_one_row_an_image_is_invalid(start, rows):
    batcher = start(lambda _: {"output0": np.zeros((rows, 5), np.float32)}, max_batch_size=2, max_wait_s=0)

    assert isinstance(batcher.submit(image(1)).exception(PATIENCE_S), OutputInvalid)


def test_an_image_that_asked_for_it_runs_alone_and_in_turn(start):
    session = ScriptedSession(weigh, input_hw=(4, 4), max_batch_size=8)
    gate = Gate(session.run)
    batcher = start(gate, max_batch_size=8, max_wait_s=10)
    with ThreadPoolExecutor(1) as pool:
        alone = pool.submit(batcher.submit, image(1), alone=True)
        assert gate.entered.wait(PATIENCE_S)
        others = [batcher.submit(image(number)) for number in range(8)]
        assert not any(future.done() for future in others)

        gate.opened.set()

        assert alone.result(PATIENCE_S).done()
        assert all(future.result(PATIENCE_S) for future in others)
    assert session.batch_sizes == [1, 8]


def test_whoever_watches_sees_whose_images_a_run_has_and_since_when(start):
    gate = Gate(ScriptedSession(weigh, input_hw=(4, 4)).run)
    batcher = start(gate, max_batch_size=2, max_wait_s=10)
    before = time.monotonic()
    futures = [batcher.submit(image(number), owner) for number, owner in enumerate(["first", "second"])]
    assert gate.entered.wait(PATIENCE_S)

    (run,) = batcher.runs()

    assert run.owners == ("first", "second")
    assert before <= run.started <= time.monotonic()
    gate.opened.set()
    assert all(future.result(PATIENCE_S) for future in futures)
    assert batcher.runs() == ()


def test_answers_stay_when_the_next_batch_is_joined(start):
    """A model that hands its input through answers with views of the buffer that batches are joined in."""
    batcher = start(lambda tensors: {"out": tensors["images"]}, max_batch_size=4, max_wait_s=10)
    rounds = [[batcher.submit(image(number)) for number in range(first, first + 4)] for first in (0, 4, 8)]

    answers = [[future.result(PATIENCE_S)["out"][0, 0, 0, 0] for future in futures] for futures in rounds]

    assert answers == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert [future.result()["out"][0, 0, 0, 0] for future in rounds[0]] == [0, 1, 2, 3]
