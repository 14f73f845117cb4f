"""An interrupt in a place where Python drops exceptions."""

import subprocess
import sys

import pytest

PROGRAM = """
import signal, sys, time, weakref
from nightshift.cli.interrupts import keep_interrupts

class Thing: pass

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job begins without it
keep_interrupts()
thing = Thing()
watched = weakref.ref(thing, lambda _: {raising})
try:
    del thing
    time.sleep({seconds})
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize(
    ("raising", "status", "words"),
    [("signal.raise_signal(signal.SIGINT)", 130, ""), ("1 / 0", 0, "ZeroDivisionError")],
    ids=["an interrupt comes again", "what else is dropped is told as ever"],
)
def test_what_a_callback_drops(raising, status, words):
    program = PROGRAM.format(raising=raising, seconds=60 if status else 0)

    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=50)

    assert done.returncode == status, done.stderr
    assert words in done.stderr
    assert bool(words) == bool(done.stderr)
