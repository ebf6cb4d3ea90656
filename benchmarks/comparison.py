"""Code that comparisons share: flags, check of the peers, machine, tables."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from benchmarks.document import ROOT
from zoo import console
from zoo.commands import flags
from zoo.errors import RunError, UserError


def parse_flags(argv: Sequence[str], doc: str, values: flags.Flags) -> None:
    """Parses the flags of a command without other arguments.

    Raises:
        UserError: a flag is unknown, a value is invalid, or there are other arguments.
    """
    flags.parse_only(argv, doc, values)


def require(packages: Iterable[str]) -> None:
    """Checks that the peers are installed.

    Raises:
        UserError: some are missing.
    """
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

    Raises:
        RunError: the process failed.
    """
    done = subprocess.run([sys.executable, *command], cwd=ROOT, **options)
    if done.returncode:
        raise RunError(f"Failed, see above: python {shlex.join(command)}")
    return done


def machine() -> dict[str, Any]:
    """Returns the properties of the machine that results depend on."""
    import psutil

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


def rates_table(models: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns the Markdown table of training speeds.

    Args:
        models: for each model, ``examples_per_second`` and ``zoo_times_as_fast`` by
            contestant.
    """
    lines = [
        "| model | trained by | examples/s | speed of the zoo / this |\n",
        "| --- | --- | ---: | ---: |\n",
    ]
    for model_name, found in models.items():
        for name, rate in found["examples_per_second"].items():
            times = found["zoo_times_as_fast"].get(name)
            shown = "" if times is None else f"{times:.2f}"
            lines.append(f"| {model_name} | {name} | {rate:,} | {shown} |\n")
    return "".join(lines)


def end_with_children() -> None:
    """Makes SIGTERM raise SystemExit, so that the contestants end too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def main(
    measure: Callable[[int], dict[str, Any]],
    doc: str,
    *,
    rounds: int,
    needs: Iterable[str] = (),
) -> None:
    """Runs a comparison as a command that prints its result as JSON.

    Args:
        measure: function of the number of rounds that returns the result.
        doc: text of --help.
        rounds: default of --rounds.
        needs: packages of the peers.
    """

    def command(argv: list[str]) -> None:
        values = flags.Flags()
        values.integer("rounds", rounds, "Rounds to measure.", lower_bound=1)
        parse_flags(argv, doc, values)
        require(needs)
        print(json.dumps(measure(values.rounds), indent=2))

    end_with_children()
    console.main(command)
