"""Signals that ask a training to stop: noticed at once, obeyed between two steps."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether a stop was asked for.

    Attributes:
        signal: the number of the signal that asked, or None.
    """

    signal: int | None = None


@contextlib.contextmanager
def noticed() -> Iterator[Stop]:
    """Makes the first SIGINT or SIGTERM a note in what is yielded.

    The second one does what it does to any process: it ends it at once. Signals
    that were ignored before, as under nohup, stay so. Handlers belong to the main
    thread: in another one nothing is changed. They are put back at the end.
    """
    stop = Stop()
    before = {}

    def note(number: int, frame: object) -> None:
        stop.signal = number
        for each in before:
            signal.signal(each, signal.SIG_DFL)
        # Not print: the signal may have come in the middle of one.
        os.write(2, b"Stopping after this step; a second Ctrl-C stops at once.\n")

    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, note)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
