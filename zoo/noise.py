"""What TensorFlow tells its own developers at every start, and a filter of it.

    python zoo/noise.py < everything > all but noise

It is a program of its own: what it has been given it passes on even if the process that
wrote it has been aborted meanwhile. It imports nothing of the zoo, to start in 20 ms.
"""

from __future__ import annotations

import contextlib
import re
import sys

# It is written to the file descriptor before any log level is obeyed.
NOISE = re.compile(
    rb"^(WARNING: All log messages before absl::InitializeLog|I\d{4} "
    rb"|INFO: Created TensorFlow Lite XNNPACK delegate"
    # Said on every machine that has no NVIDIA driver.
    rb"|E\d{4} .*failed call to cuInit: .*\(303\)"
    rb"|\s+\[\[\{\{(function_)?node .*\}\}\]\]"
    # An error that is raised, and told here a second time.
    rb"|W\d{4} .*(Local rendezvous is aborting|OP_REQUIRES failed)"
    # What the TFLite converter says of its own options, at every conversion.
    rb"|W\d{4} .*(tf_tfl_flatbuffer_helpers|flatbuffer_export)\.cc"
    rb"|fully_quantize: "
    # About the export's own gradients: they are in the graph, nobody asks for more.
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
