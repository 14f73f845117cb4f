"""What kombu and Celery do that our boot steps work around; a test that fails here says that one may go."""

from __future__ import annotations

import json
import zlib
from queue import Empty
from types import SimpleNamespace

import pytest
import redis
from kombu import Connection
from kombu.transport import redis as transport
from kombu.transport import virtual
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.fixtures.poison import changed, envelope
from workers.gate import Gate
from workers.metrics import Meter

QUEUE = "canary"


@pytest.fixture
def channel(redis_url):
    with Connection(redis_url) as connection:
        made = connection.channel()
        made.basic_consume(QUEUE, no_ack=False, callback=lambda message: message, consumer_tag="canary")
        yield made


def read_one(channel: transport.Channel, entry: bytes) -> object:
    """What the worker's loop does for one entry of a queue."""
    with channel.conn_or_acquire() as client:
        client.lpush(QUEUE, entry)
    channel.client.connection = channel.client.connection or channel.client.connection_pool.get_connection()
    channel._brpop_start()
    return channel._brpop_read()


def test_an_entry_that_is_no_json_raises_out_of_the_loop(channel):
    with pytest.raises(json.JSONDecodeError):
        read_one(channel, b"garbage")


@pytest.mark.parametrize("missing", ["properties", "delivery_tag"])
def test_an_entry_without_a_field_raises_out_of_the_loop(channel, missing):
    message = envelope(QUEUE)
    (message if missing == "properties" else message["properties"]).pop(missing)

    with pytest.raises(KeyError):
        read_one(channel, json.dumps(message).encode())


def test_a_body_is_inflated_by_the_messages_constructor(channel):
    raw = json.loads(
        changed(envelope(QUEUE, body=zlib.compress(b"[" * 1_000_000)), "headers.compression", "application/x-gzip")
    )

    assert len(virtual.Message(raw, channel=channel).body) == 1_000_000


def test_brpops_answer_goes_through_the_clients_callback_before_anything_reads_it(channel):
    seen = []
    earlier = channel.client.response_callbacks["BRPOP"]
    channel.client.set_response_callback("BRPOP", lambda answer, **_: seen.append(earlier(answer)))

    with pytest.raises(Empty):
        read_one(channel, b"garbage")

    assert seen == [(QUEUE.encode(), b"garbage")]


def test_the_gate_screens_whatever_channel_the_consumer_has(channel, store):
    gate = type("TestedGate", (Gate,), {"store": store, "worker_id": "w", "meter": Meter()})(SimpleNamespace())
    gate.start(SimpleNamespace(task_consumer=SimpleNamespace(channel=channel)))

    with pytest.raises(Empty):
        read_one(channel, b"garbage")

    assert [row.reason for row in store.fleet.quarantined()] == ["message_not_json"]
    assert read_one(channel, json.dumps(envelope(QUEUE)).encode()) is True


def test_a_failed_acknowledgement_keeps_its_prefetch_slot(channel, monkeypatch):
    read_one(channel, json.dumps(envelope(QUEUE)).encode())
    (tag,) = channel.qos._delivered

    def cut(*_: object, **__: object) -> None:
        raise RedisConnectionError("cut")

    monkeypatch.setattr(channel.qos, "_remove_from_indices", cut)

    with pytest.raises(RedisConnectionError):
        channel.qos.ack(tag)
    assert not channel.qos._dirty  # the slot stays taken: AckGuard frees it
    virtual.QoS.ack(channel.qos, tag)
    assert tag in channel.qos._dirty


def test_a_key_of_a_queue_holds_its_name_before_the_separator(channel, redis_server):
    with redis.Redis(unix_socket_path=str(redis_server.socket_path)) as client:
        client.lpush(channel._q_for_pri(QUEUE, 3), json.dumps(envelope(QUEUE)))
        (key,) = client.keys(f"{QUEUE}*")

    assert key.rsplit(channel.sep.encode(), 1)[0].decode() == QUEUE
