"""Runs one contestant, which works once for each line of standard input.

    python -m benchmarks.worker benchmarks.contestants.torch_fit mlp 468 128

It imports nothing but the contestant, so that a contestant can run in an environment
that has only its own packages.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys


def main() -> None:
    """Prints the answer of the contestant's work function for each line."""
    module, *arguments = sys.argv[1:]
    work = importlib.import_module(module).prepare(*arguments)
    for _ in sys.stdin:
        # Keep what libraries print out of the answer.
        with contextlib.redirect_stdout(sys.stderr):
            answer = work()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
