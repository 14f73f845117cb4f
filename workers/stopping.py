"""How a worker process stops: on a signal, on an order that comes through SQL, or because a drain takes too long."""

from __future__ import annotations

import signal
import threading
from typing import Any

from celery import bootsteps
from celery.worker import state

from workers.leaving import Exit, leave
from workers.shards import Runtime
from workers.signals import obey


def drain(runtime: Runtime) -> None:
    """Take no more, give back what is not begun, and end: on SIGTERM, or on an order that comes through SQL."""
    runtime.draining.set()
    state.should_stop = 0


def leave_after_drain(runtime: Runtime, drain_s: float) -> None:
    """Whoever hangs in a forward when the time is over writes what it has, gives its shards back, and leaves."""

    def watch() -> None:
        runtime.draining.wait()
        threading.Event().wait(drain_s)
        leave(runtime, Exit.STUCK)

    threading.Thread(target=watch, name="drain-watchdog", daemon=True).start()


class Signals(bootsteps.StartStopStep):  # type: ignore[misc]
    """Takes the signals over from Celery, which has set its own just before boot steps start.

    Celery lets a second SIGTERM pass, waits for its threads on SIGQUIT, and starts itself anew on SIGHUP, without its
    orders. Here the first signal drains, and a second one or SIGQUIT leaves at once.
    """

    runtime: Runtime

    def start(self, parent: Any) -> None:  # noqa: ARG002 (Celery's signature)
        """Set the handlers."""

        def act(number: signal.Signals, is_first: bool) -> None:
            if is_first and number != signal.SIGQUIT:
                drain(self.runtime)
            else:
                leave(self.runtime, Exit.TOLD)

        obey((signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP), act)


def signals_step(runtime: Runtime) -> type[Signals]:
    """The boot step for this process; Celery makes the instance itself."""
    return type("Signals", (Signals,), {"runtime": runtime})
