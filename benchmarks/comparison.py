"""What comparisons share: commands, contestants that take turns, and the machine."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shlex
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import psutil

from benchmarks.document import ROOT
from zoo.errors import RunError, UserError

Work = Callable[[], float]


def require(packages: Iterable[str]) -> None:
    """Checks that the peers are installed."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"Not installed: {', '.join(missing)}. `make bench` installs the peers; so "
            "does pip install -r benchmarks/requirements.txt."
        )


def run_python(*command: str, **options: Any) -> subprocess.CompletedProcess:
    """Runs Python in the project's directory.

    Args:
        *command: arguments of the interpreter.
        **options: options of ``subprocess.run``.
    """
    done = subprocess.run([sys.executable, *command], cwd=ROOT, **options)
    if done.returncode:
        raise RunError(f"Failed, see above: python {shlex.join(command)}")
    return done


@contextlib.contextmanager
def contestant(
    module: str, *arguments: object, python: str = sys.executable
) -> Iterator[Work]:
    """Starts ``module.prepare(*arguments)`` in a process; yields its work function.

    Args:
        module: the module of the contestant.
        *arguments: what its function ``prepare`` takes, as texts.
        python: the interpreter, which needs only the packages of the contestant.
    """
    process = subprocess.Popen(
        [python, "-m", "benchmarks.worker", module, *map(str, arguments)],
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


def machine() -> dict[str, Any]:
    """Returns the properties of the machine that results depend on."""
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "load_before": round(os.getloadavg()[0], 1),
    }


def machine_line(found: dict[str, Any]) -> str:
    """Returns the Markdown line below a table that describes the machine."""
    return (
        f"\n{found['cores']} cores, {found['memory_gb']} GB; load average before: "
        f"{found['load_before']}.\n"
    )
