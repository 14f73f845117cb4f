"""Ctrl-C that is not lost."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

#: Seconds until a dropped interrupt comes again: by then the callback that dropped it has returned.
_AGAIN_S = 0.05


def keep_interrupts() -> None:
    """Let an interrupt that Python drops come again, in silence, until somebody hears it.

    Python runs the handler of a signal between any two steps of the main thread. Between those of a finaliser or of a
    weak reference's callback, the KeyboardInterrupt that the handler raises is printed as ignored, and nothing stops.
    """
    usual = sys.unraisablehook

    def hook(dropped: UnraisableHookArgs) -> None:
        if dropped.exc_type is not KeyboardInterrupt:
            usual(dropped)
            return
        import signal
        import threading

        # To the main thread itself: one that sleeps does not wake for a signal that another thread takes.
        main = threading.main_thread().ident
        again = threading.Timer(_AGAIN_S, signal.pthread_kill, (main, signal.SIGINT))
        again.daemon = True
        again.start()

    sys.unraisablehook = hook
