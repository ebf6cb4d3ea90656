"""Filters out the log messages that TensorFlow prints at every start.

    python zoo/noise.py < log > log_without_noise

It runs as a separate process. It imports nothing of the zoo, so it starts in 20 ms.
"""

from __future__ import annotations

import contextlib
import re
import sys

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


def main() -> None:
    """Copies stdin to stdout without the lines that match ``NOISE``."""
    with contextlib.suppress(BrokenPipeError):
        for line in sys.stdin.buffer:
            if not NOISE.match(line):
                sys.stdout.buffer.write(line)
                sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
