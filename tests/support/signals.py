"""The signals that children inherit."""

from __future__ import annotations

import signal
from types import FrameType

_ENDS = ("SIGINT", "SIGTERM", "SIGHUP")  # Ctrl+C, a supervisor, a terminal that is closed


def restore_interrupt() -> None:
    """Let children have Ctrl+C's signal, also where this process runs in the background.

    A shell that starts a program in the background has it ignore SIGINT, and children keep
    what is ignored. What is handled here they get with its default action.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def interrupt_once() -> None:
    """Have whatever asks this program to end raise KeyboardInterrupt, once.

    It ends what it has started then, and a second signal is not to keep it from that:
    supervisors send one, and so do people. What the program was started to ignore, as by
    `nohup`, stays ignored, but for Ctrl+C's signal; see `restore_interrupt`.
    """
    restore_interrupt()
    for number in _numbers():
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    for number in _numbers():
        if signal.getsignal(number) is _interrupt:
            signal.signal(number, _swallow)
    raise KeyboardInterrupt


def _swallow(signum: int, frame: FrameType | None) -> None:
    """Do nothing; an ignored signal would also be ignored by children that are started now."""


def _numbers() -> list[signal.Signals]:
    return [signal.Signals[name] for name in _ENDS if name in signal.Signals.__members__]
