"""Starting TensorFlow: when it is needed, on the right backend, without its noise."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator

from zoo.errors import UserError

# What TensorFlow tells its own developers at every start. It is written to the
# file descriptor before any log level is obeyed, so it is filtered there.
_NOISE = re.compile(
    rb"^(WARNING: All log messages before absl::InitializeLog|I\d{4} "
    rb"|INFO: Created TensorFlow Lite XNNPACK delegate"
    # Said on every machine that has no NVIDIA driver.
    rb"|E\d{4} .*failed call to cuInit: .*\(303\)"
    rb"|\s+\[\[\{\{node .*\}\}\]\]"
    # An error that is raised, and told here a second time.
    rb"|W\d{4} .*(Local rendezvous is aborting|OP_REQUIRES failed)"
    # What the TFLite converter says of its own options, at every conversion.
    rb"|W\d{4} .*(tf_tfl_flatbuffer_helpers|flatbuffer_export)\.cc"
    rb"|fully_quantize: "
    # Of the export's own gradients: they are in the graph, nobody asks for more.
    rb"|WARNING:absl:Importing a function .* with ops with unsaved custom gradients"
    rb"|\d{4}-\d\d-\d\d .*: I )"
)


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
    """Holds back what is written to file descriptor 2; passes on all but noise."""
    try:
        sys.stderr.flush()
        kept = os.dup(2)
    except (AttributeError, OSError, ValueError):  # there is no stderr
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            for line in held:
                if not _NOISE.match(line):
                    os.write(2, line)
