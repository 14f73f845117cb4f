"""The relay against a real Redis: each thing that can be lost is sent again."""

from __future__ import annotations

import pytest
import redis

from jobstore.dispatch import Doorbell
from jobstore.errors import BrokerUnavailable
from jobstore.schema import Renewal
from producer.resident import ask
from tests.fixtures.jobs import OVER_S, add, lease_next, queue_of
from workers.leases import LeaseBook
from workers.relay import Relay


@pytest.fixture
def doorbell(redis_url):
    bell = Doorbell(redis_url)
    yield bell
    bell.close()


@pytest.fixture
def relay(store, doorbell):
    relay = Relay(store, doorbell, window=4, resend_after_s=0.0)
    relay.tick()  # learns that this Redis is new
    return relay


@pytest.fixture
def client(redis_server, redis_url):
    with redis.Redis(unix_socket_path=str(redis_server.socket_path)) as made:
        yield made


def test_a_window_of_hints_is_sent_and_no_more(store, relay, client):
    add(store, 40)

    assert [relay.tick(), relay.tick()] == [4, 0]

    assert client.llen(queue_of("cpu")) == 4


def test_a_hint_that_a_dying_worker_took_along_is_sent_again(store, relay, client):
    add(store, 4)
    relay.tick()
    client.delete(queue_of("cpu"))

    assert relay.tick() == 1

    assert client.llen(queue_of("cpu")) == 1


def test_a_hint_that_still_waits_in_redis_is_not_sent_twice(store, relay):
    add(store, 4)
    relay.tick()

    assert relay.tick() == 0


def test_everything_is_sent_again_after_flushall(store, relay, redis_server):
    add(store, 8)
    relay.tick()
    assert ask(redis_server.socket_path, "FLUSHALL").startswith("+OK")

    assert relay.tick() == 2


def test_the_shard_of_a_silent_worker_goes_to_another_and_the_silent_one_learns_it(store, relay):
    add(store, 4)
    lease = lease_next(store, lease_s=OVER_S)
    book = LeaseBook(store, lease.owner, lease_s=60.0)

    assert relay.tick() == 1

    with book.holding(lease) as held:
        book.renew()
        assert held.lost.is_set()


def test_a_lease_that_is_renewed_in_time_is_kept(store, relay):
    add(store, 4)
    lease = lease_next(store, lease_s=60.0)
    book = LeaseBook(store, lease.owner, lease_s=60.0)

    with book.holding(lease) as held:
        book.renew()
        assert not held.lost.is_set()

    assert relay.tick() == 0


def test_sql_is_repaired_also_while_redis_is_away(store):
    add(store, 4)
    lease = lease_next(store, lease_s=OVER_S)
    relay = Relay(store, Doorbell("redis://127.0.0.1:1/0"), window=4)

    with pytest.raises(BrokerUnavailable):
        relay.tick()

    assert store.renew(lease.owner, [(lease.shard_id, lease.attempt)], 60.0) == Renewal()
