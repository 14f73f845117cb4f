"""What is done once for all shards that ended together."""

import threading
from collections import Counter

from jobstore.errors import BrokerUnavailable
from jobstore.schema import Hint, JobId, ShardId
from tests.fixtures.fleet import wait_until
from workers.refill import Refill


class Bell:
    def __init__(self, is_away=False):
        self.rung, self.announced, self.is_away = [], [], is_away

    def ring(self, hints):
        if self.is_away:
            raise BrokerUnavailable("Redis is away")
        self.rung += hints

    def announce_end(self, *job_ids):
        self.announced.append(job_ids)


class Window:
    def __init__(self):
        self.asked = Counter()

    def release(self, window, queue):
        self.asked[queue] += 1
        return [Hint(queue, ShardId(f"{queue}-{self.asked[queue]}"), 1)]


def work_off(refill):
    """Run one round: what is due when the thread is told to stop is done before it ends."""
    stopped = threading.Event()
    stopped.set()
    refill.run(stopped)


def test_a_burst_of_shards_costs_one_release_a_queue_and_one_announcement():
    store, bell = Window(), Bell()
    refill = Refill(store, bell, 32, threading.Event())
    for index in range(10):
        refill.shard_ended("q1" if index % 2 else "q2", JobId(f"j{index}"))

    work_off(refill)

    assert store.asked == {"q1": 1, "q2": 1}
    assert [hint.queue for hint in bell.rung] == ["q1", "q2"]
    assert bell.announced == [tuple(f"j{index}" for index in range(10))]


def test_a_process_that_drains_leaves_the_window_to_others_and_still_announces():
    store, bell, draining = Window(), Bell(), threading.Event()
    refill = Refill(store, bell, 32, draining)
    draining.set()
    refill.shard_ended("q1", JobId("j"))

    work_off(refill)

    assert not store.asked
    assert bell.announced == [("j",)]


def test_a_redis_that_is_away_ends_nothing():
    store = Window()
    refill = Refill(store, Bell(is_away=True), 32, threading.Event())
    refill.shard_ended("q1")
    refill.shard_ended("q2")

    work_off(refill)

    assert store.asked == {"q1": 1, "q2": 1}


def test_the_first_shard_of_a_burst_is_answered_while_the_thread_runs():
    store, bell, stopped = Window(), Bell(), threading.Event()
    refill = Refill(store, bell, 32, threading.Event())
    thread = threading.Thread(target=refill.run, args=(stopped,))
    thread.start()

    refill.shard_ended("q1")

    wait_until(lambda: bell.rung)
    stopped.set()
    thread.join()
