"""Signals as orders that a thread carries out.

A handler runs in the middle of whatever the main thread does, also while it holds a lock that the handler would take:
`threading.Event.set` in a handler stopped a worker for ever when its parent's death and its launcher's SIGTERM came
at once. `SimpleQueue.put` is the one thing that Python documents as safe there.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue


def obey(numbers: Sequence[signal.Signals], act: Callable[[signal.Signals, bool], None]) -> None:
    """From now on call `act` for each of these signals, in a thread of its own, one after the other.

    Args:
        act: takes the signal, and whether it is the first one.
    """
    inbox: SimpleQueue[int] = SimpleQueue()

    def carry_out() -> None:
        is_first = True
        while True:
            act(signal.Signals(inbox.get()), is_first)
            is_first = False

    threading.Thread(target=carry_out, name="signals", daemon=True).start()
    for number in numbers:
        signal.signal(number, lambda received, _: inbox.put(received))
