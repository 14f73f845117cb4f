"""Signals that come while the main thread holds the very lock that a handler would want."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

STORM = """
import os, signal, threading
from workers.signals import obey

told, over = threading.Event(), threading.Event()
seen = []

def act(number, is_first):
    told.set()
    seen.append((number, is_first))
    if len(seen) == 20:
        over.set()

obey((signal.SIGUSR1,), act)
print("ready", flush=True)
while not over.is_set():
    told.set()
    told.clear()
print(seen[0][1], any(is_first for _, is_first in seen[1:]), flush=True)
"""


@pytest.fixture
def process():
    with subprocess.Popen([sys.executable, "-c", STORM], stdout=subprocess.PIPE, text=True) as started:
        yield started
        started.kill()


def test_a_signal_in_the_middle_of_taking_a_lock_stops_nobody(process) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"

    while process.poll() is None:
        os.kill(process.pid, signal.SIGUSR1)

    assert process.stdout.readline() == "True False\n"
