"""A filter that removes what TensorFlow tells its own developers at every start.

    python zoo/noise.py < everything > all but noise

It runs as a process of its own, and imports nothing of the zoo: it starts in 20 ms.
"""

from __future__ import annotations

import contextlib
import re
import sys

# TensorFlow writes these to the file descriptor before it obeys any log level.
NOISE = re.compile(
    rb"^(WARNING: All log messages before absl::InitializeLog|I\d{4} "
    rb"|INFO: Created TensorFlow Lite XNNPACK delegate"
    # On every machine that has no NVIDIA driver.
    rb"|E\d{4} .*failed call to cuInit: .*\(303\)"
    rb"|\s+\[\[\{\{(function_)?node .*\}\}\]\]"
    # An error that is raised as well.
    rb"|W\d{4} .*(Local rendezvous is aborting|OP_REQUIRES failed)"
    # The TFLite converter about its own options, at every conversion.
    rb"|W\d{4} .*(tf_tfl_flatbuffer_helpers|flatbuffer_export)\.cc"
    rb"|fully_quantize: "
    # The export's own gradients are in the graph already.
    rb"|WARNING:absl:Importing a function .* with ops with unsaved custom gradients"
    rb"|\d{4}-\d\d-\d\d .*: I |To enable the following instructions: )"
)


def main() -> None:
    """Passes on each line as soon as it is complete, until there are no more."""
    with contextlib.suppress(BrokenPipeError):
        for line in sys.stdin.buffer:
            if not NOISE.match(line):
                sys.stdout.buffer.write(line)
                sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
