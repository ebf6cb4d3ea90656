"""The zoo beside its peers: `make bench`, or some of its comparisons.

    python -m benchmarks
    python -m benchmarks fit startup --rounds=1

Needs MNIST in $MNIST_DIR. Prints the tables, and writes benchmarks/results.json, where
what was not asked for stays as it was, and from that the tables of the documents.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from types import ModuleType
from typing import Any

from benchmarks import data, device, document, fit, growth, race, startup
from zoo import cli, files
from zoo.errors import RunError

COMPARISONS: dict[str, ModuleType] = {
    "fit": fit,
    "race": race,
    "device": device,
    "startup": startup,
    "growth": growth,
}


def machine() -> dict[str, Any]:
    """Returns what the numbers depend on."""
    import psutil

    return {
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "load_before": round(os.getloadavg()[0], 1),
    }


def run(name: str, rounds: int | None) -> dict[str, Any]:
    """Runs a comparison in a process of its own, which leaves nothing to the next."""
    before = machine()
    options = [] if rounds is None else [f"--rounds={rounds}"]
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *options],
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise RunError(f"The comparison {name} failed: see above.")
    return json.loads(done.stdout) | {"machine": before}


def main(argv: list[str]) -> None:
    """Runs the comparisons that are named, and writes what they found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(COMPARISONS)}; or all")
    parser.add_argument("--rounds", type=int, help="how many turns; or each one's own")
    options = parser.parse_args(argv[1:])
    names = options.names or list(COMPARISONS)
    if unknown := set(names) - COMPARISONS.keys():
        parser.error(f"unknown: {', '.join(unknown)}. Known: {', '.join(COMPARISONS)}")
    if options.rounds is not None and options.rounds < 1:
        parser.error(f"--rounds must be 1 or more. Received: {options.rounds}")
    data.directory()
    documents = {name: document.where(name) for name in names}
    for name in names:
        result = run(name, options.rounds)
        files.write_json(document.RESULTS, document.results() | {name: result})
        table = COMPARISONS[name].table(result)
        document.rewrite(documents[name], name, table)
        print(f"{name}\n\n{table}", flush=True)


if __name__ == "__main__":
    cli.main(main)
