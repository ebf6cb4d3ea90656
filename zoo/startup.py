"""Starts TensorFlow when it is needed, and filters its start-up log."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

from zoo import noise
from zoo.errors import UserError

_filtering = threading.Lock()


def check_backend() -> None:
    """Raises UserError unless Keras will use TensorFlow as its backend."""
    backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    os.environ["KERAS_BACKEND"] = backend
    if backend != "tensorflow":
        raise UserError(
            "This zoo trains with tf.GradientTape, on the TensorFlow backend of Keras. "
            f"Received: KERAS_BACKEND={backend}. Unset it, or set it to tensorflow."
        )


def cpus() -> int:
    """Returns the number of CPUs that TensorFlow uses."""
    threads = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    if threads.isdigit() and int(threads):
        return int(threads)
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def import_keras(*, log_level: int = 1) -> None:
    """Imports TensorFlow and Keras, and filters their log during the import.

    Args:
        log_level: default for TF_CPP_MIN_LOG_LEVEL, which TensorFlow reads only when it
            is imported.

    Raises:
        UserError: KERAS_BACKEND names another backend.
    """
    check_backend()
    if not {"keras", "tensorflow"} <= sys.modules.keys():
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", str(log_level))
        with quiet_stderr():
            import keras  # noqa: F401
            import tensorflow as tf
        tf.get_logger().setLevel("WARNING")  # INFO is the default in a notebook


@contextlib.contextmanager
def _not_importable(*packages: str) -> Iterator[None]:
    """Hides packages that are not imported yet: importing them fails.

    Keras imports some packages only if they are installed, for features that no command
    uses. That takes longer than the rest of Keras.
    """
    hidden = [name for name in packages if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@functools.cache
def start(*, alone: bool = True, for_command: bool = True) -> None:
    """Imports TensorFlow and Keras, creates the devices, and filters the start-up log.

    Warnings still appear. Only the first call has an effect.

    Args:
        alone: False if several workers will connect before they create their devices.
            Their log level is higher, because TensorFlow logs pages when a worker is
            lost; the zoo reports the loss in one line.
        for_command: False if the program may use those features of Keras that need
            matplotlib or scikit-learn.

    Raises:
        UserError: KERAS_BACKEND names another backend.
    """
    unused = ("matplotlib", "sklearn") if for_command else ()
    with _not_importable(*unused):
        import_keras(log_level=1 if alone else 3)
    if alone:
        import tensorflow as tf

        with quiet_stderr():
            tf.zeros(())  # creates the devices


def start_for_api() -> None:
    """Starts TensorFlow for functions that users call in their own programs.

    A worker of a cluster creates its devices later, when its strategy connects it.

    Raises:
        UserError: KERAS_BACKEND names another backend.
    """
    start(alone="TF_CONFIG" not in os.environ, for_command=False)


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Filters TensorFlow's log noise out of file descriptor 2.

    A separate process passes on every other line as soon as it is complete, so nothing
    is lost if this process aborts inside the block. Nested blocks have no effect.
    """
    with contextlib.ExitStack() as stack:
        if _filtering.acquire(blocking=False):
            stack.callback(_filtering.release)
            # Without a stderr, or if the filter cannot start, nothing is filtered.
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
            start_new_session=True,  # keeps Ctrl-C away from the filter
        )
        assert process.stdin
        with process.stdin as pipe:
            os.dup2(pipe.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            # A child of this process may still hold the filter's input open.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=2)
    finally:
        os.close(kept)
