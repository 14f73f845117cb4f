"""A worker machine as a process of its own: `python -m tests.faults.machine`, its configuration on standard input."""

from __future__ import annotations

import sys

import msgspec

from workers.config import WorkerConfig
from workers.launch import main

if __name__ == "__main__":
    sys.exit(main(msgspec.json.decode(sys.stdin.buffer.read(), type=WorkerConfig)))
