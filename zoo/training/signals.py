"""Signals that ask a training to stop: noticed at once, obeyed between two steps."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

#: What asks for a stop.
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Which signal has asked for a stop, if any."""

    signal: int | None = None


@contextlib.contextmanager
def noticed() -> Iterator[Stop]:
    """Makes the first SIGINT or SIGTERM a note in what is yielded.

    The second one ends the process at once, in the middle of a step too. Handlers are
    put back at the end.
    """
    stop, taken = Stop(), _handled()
    if not taken:
        yield stop
        return

    def note(number: int, frame: object) -> None:
        stop.signal = stop.signal or number

    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    # Python runs handlers between two steps only; their numbers it writes at once.
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
    """Lets the first SIGINT end the process, as it does where nothing handles it.

    For calls that wait in C++ and keep Python from doing anything meanwhile. SIGTERM
    TensorFlow takes for itself there.
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
    """Returns what may be handled here: nothing that is ignored, as under nohup.

    Handlers belong to the main thread: in another one there are none.
    """
    if threading.current_thread() is not threading.main_thread():
        return []
    kept = (signal.SIG_IGN, None)
    return [number for number in SIGNALS if signal.getsignal(number) not in kept]


def _listen(reader: int, taken: list[int]) -> None:
    """Answers the first signal with a line, the second with the end."""
    asked = False
    while number := os.read(reader, 1):
        if number[0] not in taken:
            continue
        if asked:
            os._exit(128 + number[0])
        asked = True
        # Not print: it may wait for a lock that the main thread holds.
        os.write(2, b"Stopping after this step; a second Ctrl-C stops at once.\n")
