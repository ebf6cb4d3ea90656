"""Signals that stop a training; they take effect between two steps."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

#: The signals that ask for a stop.
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """The signal that has asked for a stop, if any."""

    signal: int | None = None


@contextlib.contextmanager
def noticed() -> Iterator[Stop]:
    """Records the first SIGINT or SIGTERM in the object that it yields.

    A second signal ends the process at once, even in the middle of a step. The previous
    handlers are restored at the end.
    """
    stop, taken = Stop(), _handled()
    if not taken:
        yield stop
        return

    def note(number: int, frame: object) -> None:
        stop.signal = stop.signal or number

    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    # Python runs handlers only between two steps, but it writes the signal's number to
    # this pipe at once.
    listener = threading.Thread(target=_listen, args=(reader, taken), daemon=True)
    listener.start()
    wakeup = signal.set_wakeup_fd(writer)
    before = {number: signal.signal(number, note) for number in taken}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup)
        os.close(writer)
        listener.join()
        os.close(reader)


@contextlib.contextmanager
def ending() -> Iterator[None]:
    """Lets the first SIGINT end the process, as without a handler.

    This is for calls that wait in C++ and keep Python from running handlers. During
    these calls, TensorFlow handles SIGTERM itself.
    """
    if signal.SIGINT not in _handled():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _handled() -> list[signal.Signals]:
    """Returns the signals to handle, without ignored ones, such as under nohup.

    Outside of the main thread there are none, because only that can set handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        return []
    kept = (signal.SIG_IGN, None)
    return [number for number in SIGNALS if signal.getsignal(number) not in kept]


def _listen(reader: int, taken: list[int]) -> None:
    """Prints a line for the first signal and ends the process at the second."""
    asked = False
    while number := os.read(reader, 1):
        if number[0] not in taken:
            continue
        if asked:
            os._exit(128 + number[0])
        asked = True
        # print could wait for a lock that the main thread holds.
        os.write(2, b"Stopping after this step; a second Ctrl-C stops at once.\n")
