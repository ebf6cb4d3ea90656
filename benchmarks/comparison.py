"""What the comparisons share: their command line, their peers, what they ran on."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from benchmarks.document import ROOT
from zoo import console
from zoo.errors import RunError, UserError


class Parser(argparse.ArgumentParser):
    """An ``ArgumentParser`` that tells mistakes as the zoo does: in one line."""

    def error(self, message: str) -> NoReturn:
        """Raises UserError."""
        raise UserError(f"{message} (--help lists the flags)")


def positive(text: str) -> int:
    """Reads a whole number, 1 or more, for argparse."""
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more. Received: {text}")
    return number


def require(packages: Iterable[str]) -> None:
    """Checks that the peers are installed.

    Raises:
        UserError: some are not.
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"Not installed: {', '.join(missing)}. `make bench` installs the peers; so "
            "does pip install -r benchmarks/requirements.txt."
        )


def run_python(*command: str, **options: Any) -> subprocess.CompletedProcess:
    """Runs Python in the project.

    Args:
        *command: what follows the interpreter.
        **options: of ``subprocess.run``.

    Raises:
        RunError: it failed.
    """
    done = subprocess.run([sys.executable, *command], cwd=ROOT, **options)
    if done.returncode:
        raise RunError(f"Failed, see above: python {shlex.join(command)}")
    return done


def machine() -> dict[str, Any]:
    """Returns what the numbers depend on."""
    import psutil

    return {
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "load_before": round(os.getloadavg()[0], 1),
    }


def machine_line(found: dict[str, Any]) -> str:
    """Returns the line below a table that says where it was measured, in Markdown."""
    return (
        f"\n{found['cores']} cores, {found['memory_gb']} GB; load average before: "
        f"{found['load_before']}.\n"
    )


def end_with_children() -> None:
    """Makes SIGTERM end this process as an exception does: contestants first."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def main(
    measure: Callable[[int], dict[str, Any]],
    doc: str,
    *,
    rounds: int,
    needs: Iterable[str] = (),
) -> None:
    """Prints what ``measure`` returns as JSON: what a comparison does by itself.

    Args:
        measure: takes the number of turns.
        doc: what --help says.
        rounds: unless --rounds says otherwise.
        needs: packages of the peers.
    """

    def command(argv: list[str]) -> None:
        parser = Parser(description=doc)
        parser.add_argument("--rounds", type=positive, default=rounds)
        options = parser.parse_args(argv[1:])
        require(needs)
        print(json.dumps(measure(options.rounds), indent=2))

    end_with_children()
    console.main(command)
