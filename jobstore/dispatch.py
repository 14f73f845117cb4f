"""Redis as a doorbell: Celery's settings, and sending hints. What is lost here is found again in SQL."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from jobstore.errors import BrokerUnavailable
from jobstore.queues import TASK_NAME, encode_hint
from jobstore.schema import Hint, JobId

#: Measured with celery 5.7 and kombu 5.7 (docs/decisions/0003): without `socket_timeout` a half-open connection is
#: never noticed; one priority step, because the release window in SQL orders the work; the visibility timeout is far
#: beyond a lease, because kombu must not send a second time what SQL watches.
TRANSPORT_OPTIONS = {
    "socket_timeout": 10,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 10,
    "visibility_timeout": 24 * 3600,
    "priority_steps": [0],
    "queue_order_strategy": "round_robin",
}
_EPOCH_KEY = "nightshift:epoch"
_WORK_CHANNEL = "nightshift:work"


def celery_app(broker_url: str) -> Any:
    """A Celery application with the settings that producers and workers share."""
    from celery import Celery

    app = Celery("nightshift", broker=broker_url, set_as_current=False)
    app.conf.update(
        task_ignore_result=True,  # results live in SQL
        task_acks_late=True,  # acknowledged after the rows are committed
        task_reject_on_worker_lost=True,
        task_acks_on_failure_or_timeout=True,  # a failed task must not loop in Redis; SQL decides
        task_serializer="json",
        accept_content=["json"],
        task_create_missing_queues=True,
        task_send_sent_event=False,
        worker_send_task_events=False,
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=False,  # leases decide
        worker_enable_remote_control=False,  # who can write to Redis must not command workers; see workers/gate.py
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=_transport_options(broker_url),
    )
    return app


def _transport_options(broker_url: str) -> dict[str, Any]:
    """A unix socket has no TCP keep-alive, and redis-py refuses the option there."""
    options = dict(TRANSPORT_OPTIONS)
    if urlsplit(broker_url).scheme == "redis+socket":
        del options["socket_keepalive"]
    return options


class Doorbell:
    """Sends hints, and looks into Redis for those who watch over it."""

    def __init__(self, broker_url: str) -> None:
        self._url = broker_url
        self._app: Any = None
        self._redis: Any = None

    def ring(self, hints: Sequence[Hint]) -> None:
        """Send hints.

        Raises:
            BrokerUnavailable: Redis does not answer; the relay sends them later.
        """
        if not hints:
            return
        app = self._app = self._app or celery_app(self._url)
        try:
            with app.producer_or_acquire() as producer:
                for hint in hints:
                    app.send_task(
                        TASK_NAME,
                        kwargs=encode_hint(hint),
                        queue=hint.queue,
                        producer=producer,
                        argsrepr="",
                        kwargsrepr="",
                        retry=False,
                    )
        except _connection_errors() as error:
            raise BrokerUnavailable(f"Redis does not take hints: {error}") from error

    def empty_queues(self, queues: Collection[str]) -> list[str]:
        """Those of the queues that hold no message at the moment."""
        names = list(queues)
        if not names:
            return []
        with self._pipeline() as pipeline:
            for name in names:
                pipeline.llen(name)
            lengths = self._execute(pipeline)
        return [name for name, length in zip(names, lengths, strict=True) if length == 0]

    def lost_its_memory(self) -> bool:
        """Whether Redis was emptied or replaced since anybody last asked; only one asker is told so."""
        with self._pipeline() as pipeline:
            pipeline.set(_EPOCH_KEY, uuid.uuid4().hex, nx=True)
            return bool(self._execute(pipeline)[0])

    def announce_end(self, *job_ids: JobId) -> None:
        """Tell those who wait for jobs that they ended. Nobody depends on it: who misses it looks once a second."""
        with contextlib.suppress(BrokerUnavailable), self._pipeline() as pipeline:
            for job_id in job_ids:
                pipeline.publish(_ended_channel(job_id), "")
            self._execute(pipeline)

    def announce_work(self) -> None:
        """Tell workers that work was handed over. Nobody depends on it: they look four times a second anyway."""
        with contextlib.suppress(BrokerUnavailable), self._pipeline() as pipeline:
            pipeline.publish(_WORK_CHANNEL, "")
            self._execute(pipeline)

    @contextlib.contextmanager
    def listening(self, job_id: JobId | None = None) -> Iterator[Callable[[float], bool]]:
        """Give a wait of so many seconds that is over at once, and true, when the job's end is announced.

        None listens for work that is handed over.
        """
        name = _WORK_CHANNEL if job_id is None else _ended_channel(job_id)
        with self._client().pubsub(ignore_subscribe_messages=True) as channel:

            def wait(seconds: float) -> bool:
                until = time.monotonic() + seconds
                try:
                    channel.subscribe(name)  # once more each time: a connection that was cut listens again
                    while (left := until - time.monotonic()) > 0:
                        if channel.get_message(timeout=left) is not None:
                            return True
                except _connection_errors():
                    time.sleep(max(0.0, until - time.monotonic()))
                return False

            yield wait

    def version(self) -> str:
        """What the server calls itself."""
        with self._pipeline() as pipeline:
            pipeline.info("server")
            info = self._execute(pipeline)[0]
        return str(info.get("valkey_version") or info["redis_version"])

    def close(self) -> None:
        """Close the connections."""
        if self._redis is not None:
            self._redis.close()
        if self._app is not None:
            self._app.close()

    def _client(self) -> Any:
        if self._redis is None:
            self._redis = _redis_client(self._url)
        return self._redis

    def _pipeline(self) -> Any:
        return self._client().pipeline(transaction=False)

    @staticmethod
    def _execute(pipeline: Any) -> list[Any]:
        try:
            return list(pipeline.execute())
        except _connection_errors() as error:
            raise BrokerUnavailable(f"Redis does not answer: {error}") from error


class MuteDoorbell(Doorbell):
    """For a machine on which no Redis runs: the next one's relay finds it empty and sends every hint."""

    def __init__(self) -> None:
        super().__init__("")

    def ring(self, hints: Sequence[Hint]) -> None:
        """Send nothing."""

    def announce_end(self, *job_ids: JobId) -> None:
        """Tell nobody: who waits looks once a second."""

    def announce_work(self) -> None:
        """Tell nobody: workers look four times a second."""

    @contextlib.contextmanager
    def listening(self, job_id: JobId | None = None) -> Iterator[Callable[[float], bool]]:  # noqa: ARG002 - hears nothing
        """Give a wait of so many seconds."""

        def wait(seconds: float) -> bool:
            time.sleep(seconds)
            return False

        yield wait


def _ended_channel(job_id: JobId) -> str:
    return f"nightshift:ended:{job_id}"


def _connection_errors() -> tuple[type[Exception], ...]:
    from kombu.exceptions import KombuError
    from redis.exceptions import RedisError

    return KombuError, RedisError, OSError


def _redis_client(url: str) -> Any:
    import redis

    parts = urlsplit(url)
    if parts.scheme == "redis+socket":
        return redis.Redis(unix_socket_path=parts.path, socket_timeout=5.0, socket_connect_timeout=5.0)
    return redis.Redis.from_url(url, socket_timeout=5.0, socket_connect_timeout=5.0)
