"""Signals that stop a training; they take effect between two steps."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

#: The signals that ask for a stop.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop:
    """The signal that has asked for a stop, if any."""

    signal: int | None = None


@contextlib.contextmanager
def noticed() -> Iterator[Stop]:
    """Records the first signal that asks for a stop in the object that it yields.

    The next one ends the process at once. The previous handlers are restored at the
    end.
    """
    stop = Stop()

    def note(number: int, frame: object) -> None:
        stop.signal = number
        for each in SIGNALS:
            if signal.getsignal(each) is note:
                signal.signal(each, signal.SIG_DFL)

    with _handling(SIGNALS, note):
        yield stop


def ending() -> contextlib.AbstractContextManager[None]:
    """Lets the first SIGINT end the process, as without a handler.

    This is for calls that wait in C++ and keep Python from running handlers. During
    these calls, TensorFlow handles SIGTERM itself.
    """
    return _handling((signal.SIGINT,), signal.SIG_DFL)


@contextlib.contextmanager
def _handling(numbers: tuple[signal.Signals, ...], handler: Any) -> Iterator[None]:
    """Sets a handler of signals, but not of ignored ones, such as under nohup."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can set handlers
        return
    before = {number: signal.getsignal(number) for number in numbers}
    kept = (signal.SIG_IGN, None)
    before = {number: old for number, old in before.items() if old not in kept}
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
