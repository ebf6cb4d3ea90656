"""Starting TensorFlow: when it is needed, on the right backend, without its noise."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

from zoo import noise
from zoo.errors import UserError

_filtering = threading.Lock()


def check_backend() -> None:
    """Raises UserError unless Keras is going to run on TensorFlow."""
    backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    os.environ["KERAS_BACKEND"] = backend
    if backend != "tensorflow":
        raise UserError(
            "This zoo trains with tf.GradientTape, on the TensorFlow backend of Keras. "
            f"Received: KERAS_BACKEND={backend}. Unset it, or set it to tensorflow."
        )


def cpus() -> int:
    """Returns the number of CPUs that TensorFlow computes on."""
    threads = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    if threads.isdigit() and int(threads):
        return int(threads)
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def start(*, alone: bool = True) -> None:
    """Imports TensorFlow and Keras; its warnings reach the screen, its chatter not.

    Args:
        alone: False where several workers are going to meet before there are devices.
            When one of them is gone TensorFlow tells the others at length; they say
            it themselves.

    Raises:
        UserError: KERAS_BACKEND names another backend.
    """
    check_backend()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1" if alone else "3")
    with quiet_stderr():
        import keras  # noqa: F401
        import tensorflow as tf

        if alone:
            tf.zeros(())  # makes the devices, which is when most of it is said


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Filters TensorFlow's noise out of what is written to file descriptor 2.

    A separate process passes everything else on at once, so nothing is lost when this
    process aborts inside the block. A block inside another one has no effect.
    """
    with contextlib.ExitStack() as stack:
        if _filtering.acquire(blocking=False):
            stack.callback(_filtering.release)
            # Without a stderr, or without another process, nothing is filtered.
            with contextlib.suppress(AttributeError, OSError, TypeError, ValueError):
                stack.enter_context(_filtered_stderr())
        yield


@contextlib.contextmanager
def _filtered_stderr() -> Iterator[None]:
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        process = subprocess.Popen(
            [sys.executable, "-IS", noise.__file__],
            stdin=subprocess.PIPE,
            stdout=2,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is not for the filter
        )
        with process.stdin as pipe:
            os.dup2(pipe.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            # A child of this process may still hold the filter's input.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=2)
    finally:
        os.close(kept)
