"""Seconds an item, whatever runs side by side."""

from __future__ import annotations

from workers.speeds import LEAST_ITEMS, Speedometer


def test_a_shard_alone_counts_its_own_time():
    speeds = Speedometer()
    speeds.begin("q", 10.0)

    assert speeds.end("q", 20, 14.0) == 0.2


def test_shards_side_by_side_share_the_time():
    speeds = Speedometer()
    for _ in range(4):
        speeds.begin("q", 0.0)

    reported = [speeds.end("q", 100, 10.0) for _ in range(4)]

    assert reported[0] == 0.1
    assert reported[1:] == [None, None, None]  # no time passed; their items count with the next shard
    speeds.begin("q", 10.0)
    assert speeds.end("q", 0, 40.0) == 0.1


def test_idle_time_between_two_shards_does_not_count():
    speeds = Speedometer()
    speeds.begin("q", 0.0)
    speeds.end("q", 20, 2.0)
    speeds.begin("q", 1000.0)

    assert speeds.end("q", 20, 1002.0) == 0.1


def test_few_items_wait_for_more():
    speeds = Speedometer()
    speeds.begin("q", 0.0)
    assert speeds.end("q", LEAST_ITEMS - 1, 1.0) is None
    speeds.begin("q", 5.0)

    assert speeds.end("q", 1, 6.0) == 2.0 / LEAST_ITEMS


def test_queues_are_measured_apart():
    speeds = Speedometer()
    speeds.begin("a", 0.0)
    speeds.begin("b", 0.0)

    assert (speeds.end("a", 20, 2.0), speeds.end("b", 20, 4.0)) == (0.1, 0.2)


def test_how_many_items_fit_into_a_time_is_known_once_it_was_measured():
    speeds = Speedometer()
    assert speeds.items_within("q", 1.0) == 0
    speeds.begin("q", 0.0)
    speeds.end("q", 20, 2.0)

    assert (speeds.items_within("q", 1.0), speeds.items_within("other", 1.0)) == (10, 0)
