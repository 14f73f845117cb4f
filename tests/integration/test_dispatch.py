from __future__ import annotations

import json
import threading
import time

import pytest
import redis

from jobstore.dispatch import Doorbell
from jobstore.errors import BrokerUnavailable
from jobstore.schema import Hint, JobId, ShardId


@pytest.fixture
def doorbell(redis_url):
    bell = Doorbell(redis_url)
    yield bell
    bell.close()


def test_a_hint_is_a_json_message_with_ids_only(doorbell, redis_server):
    doorbell.ring([Hint("infer.cpu.m", ShardId("s1"), 4)])

    with redis.Redis(unix_socket_path=str(redis_server.socket_path)) as client:
        message = json.loads(client.lpop("infer.cpu.m"))
    assert message["content-type"] == "application/json"
    assert message["headers"]["task"] == "nightshift.run_shard"
    assert message["headers"]["kwargsrepr"] == ""


def test_empty_queues_are_told_from_full_ones(doorbell):
    doorbell.ring([Hint("full", ShardId("s1"), 1)])

    assert doorbell.empty_queues(["full", "empty"]) == ["empty"]


def test_one_asker_is_told_that_redis_lost_its_memory(doorbell):
    assert [doorbell.lost_its_memory() for _ in range(3)] == [True, False, False]


def test_the_end_of_a_job_wakes_who_waits_for_it(doorbell):
    with doorbell.listening(JobId("j1")) as wait:
        wait(0.0)
        announcer = threading.Timer(0.1, lambda: doorbell.announce_end(JobId("j1")))
        announcer.start()
        started = time.monotonic()
        wait(30.0)

    announcer.join()
    assert time.monotonic() - started < 15


def test_work_that_is_handed_over_wakes_who_listens_for_it(doorbell):
    with doorbell.listening() as wait:
        wait(0.0)
        doorbell.announce_end(JobId("j1"))
        assert not wait(0.2)
        announcer = threading.Timer(0.1, doorbell.announce_work)
        announcer.start()

        assert wait(30.0)
    announcer.join()


def test_waiting_goes_on_without_redis():
    bell = Doorbell("redis://127.0.0.1:1/0")

    with bell.listening(JobId("j1")) as wait:
        wait(0.05)


def test_a_redis_that_is_away_is_a_typed_error():
    bell = Doorbell("redis://127.0.0.1:1/0")

    with pytest.raises(BrokerUnavailable):
        bell.ring([Hint("q", ShardId("s"), 1)])
    with pytest.raises(BrokerUnavailable):
        bell.empty_queues(["q"])
