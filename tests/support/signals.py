"""The signals that children inherit."""

from __future__ import annotations

import signal


def restore_interrupt() -> None:
    """Let children have Ctrl+C's signal, also where this process runs in the background.

    A shell that starts a program in the background has it ignore SIGINT, and children keep
    what is ignored. What is handled here they get with its default action.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
