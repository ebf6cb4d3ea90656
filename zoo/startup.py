"""Starts TensorFlow when it is needed, and keeps the noise out of its log."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import IO

from zoo.errors import UserError

# TensorFlow writes these lines to file descriptor 2 before it honors any log level.
NOISE = re.compile(
    rb"^(WARNING: All log messages before absl::InitializeLog|I\d{4} "
    rb"|INFO: Created TensorFlow Lite XNNPACK delegate"
    # Printed on every machine without an NVIDIA driver.
    rb"|E\d{4} .*failed call to cuInit: .*\(303\)"
    rb"|\s+\[\[\{\{(function_)?node .*\}\}\]\]"
    # Also raised as an exception.
    rb"|W\d{4} .*(Local rendezvous is aborting|OP_REQUIRES failed)"
    rb"|E\d{4} .* jpeg_mem\.cc|Input file read error|Corrupt JPEG data"
    # Printed by the TFLite converter, about its own options, at every conversion.
    rb"|W\d{4} .*(tf_tfl_flatbuffer_helpers|flatbuffer_export)\.cc"
    rb"|fully_quantize: "
    # The graph already contains the gradients that the export defines.
    rb"|WARNING:absl:Importing a function .* with ops with unsaved custom gradients"
    rb"|\d{4}-\d\d-\d\d .*: I |To enable the following instructions: )"
)
_quieting = threading.Lock()


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
    """Imports TensorFlow and Keras, without the noise of their start.

    Args:
        log_level: default for TF_CPP_MIN_LOG_LEVEL, which TensorFlow reads only when it
            is imported.
    """
    check_backend()
    if not {"keras", "tensorflow"} <= sys.modules.keys():
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", str(log_level))
        with quiet():
            import keras  # noqa: F401
            import tensorflow as tf
        tf.get_logger().setLevel("WARNING")  # INFO is the default in a notebook


@functools.cache
def start(*, alone: bool = True) -> None:
    """Imports TensorFlow and Keras for a command, and creates the devices.

    Args:
        alone: False if several workers will connect before they create their devices.
            Their log level is higher, because TensorFlow logs pages when a worker is
            lost; the zoo reports the loss in one line.
    """
    # Keras imports these if it can, for features that no command uses, and that takes
    # longer than the rest of Keras. None in sys.modules makes an import fail.
    hidden = {"matplotlib", "sklearn"} - sys.modules.keys()
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        import_keras(log_level=1 if alone else 3)
    finally:
        for name in hidden:
            del sys.modules[name]
    if alone:
        _create_devices()


@functools.cache
def start_for_api() -> None:
    """Starts TensorFlow for functions that users call in their own programs.

    A worker of a cluster creates its devices later, when its strategy connects it.
    """
    import_keras()
    if "TF_CONFIG" not in os.environ:
        _create_devices()


def _create_devices() -> None:
    import tensorflow as tf

    with quiet():
        tf.zeros(())


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps TensorFlow's log noise off stderr.

    Everything else that is written to file descriptor 2 in the block, by any thread,
    appears at the end of the block. A block within another one has no effect.
    """
    with contextlib.ExitStack() as stack:
        if _quieting.acquire(blocking=False):
            stack.callback(_quieting.release)
            with contextlib.suppress(OSError):  # no stderr, or no space for a file
                stderr = stack.enter_context(os.fdopen(os.dup(2), "wb"))
                log = stack.enter_context(tempfile.TemporaryFile())
                _flush()
                os.dup2(log.fileno(), 2)
                stack.callback(_restore, stderr, log)
        yield


def _restore(stderr: IO[bytes], log: IO[bytes]) -> None:
    """Makes ``stderr`` file descriptor 2 again, and writes the log to it."""
    _flush()
    os.dup2(stderr.fileno(), 2)
    log.seek(0)
    stderr.writelines(line for line in log if not NOISE.match(line))


def _flush() -> None:
    with contextlib.suppress(AttributeError, ValueError):  # None, or closed
        sys.stderr.flush()
