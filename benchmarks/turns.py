"""Runs contestants in turns, each in its own process, never two at a time.

    python -m benchmarks.turns benchmarks.contestants.torch_fit mlp 468

runs one contestant. It prepares, then does its work once for each line of standard
input, and prints each result as one line of JSON.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

from zoo.errors import RunError

Work = Callable[[], float]


@contextlib.contextmanager
def contestant(module: str, *arguments: object) -> Iterator[Work]:
    """Starts ``module.prepare(*arguments)`` in a process; yields its work function."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.turns", module, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def work() -> float:
        with contextlib.suppress(BrokenPipeError):  # an ended process gives no answer
            process.stdin.write("\n")
            process.stdin.flush()
        if not (answer := process.stdout.readline()):
            command = " ".join(map(str, (module, *arguments)))
            raise RunError(f"The contestant has ended, see above: {command}.")
        return json.loads(answer)

    try:
        yield work
    finally:
        process.kill()
        with contextlib.suppress(BrokenPipeError):
            process.communicate()


def interleaved(contestants: Mapping[str, Work], rounds: int) -> dict[str, list[float]]:
    """Runs contestants in turns for ``rounds`` rounds; every other round is reversed.

    The first round warms up compilers and caches and is not counted.
    """
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for round_ in range(rounds + 1):
        order = list(contestants) if round_ % 2 else list(reversed(contestants))
        for name in order:
            taken = contestants[name]()
            found[name] += [taken] if round_ else []
    return found


def ratio(values: Sequence[float], to: Sequence[float]) -> float:
    """Returns the median of the ratios within each round."""
    return statistics.median(a / b for a, b in zip(values, to, strict=True))


def main() -> None:
    module, *arguments = sys.argv[1:]
    work = importlib.import_module(module).prepare(*arguments)
    for _ in sys.stdin:
        # Keep what libraries print out of the answer.
        with contextlib.redirect_stdout(sys.stderr):
            answer = work()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
