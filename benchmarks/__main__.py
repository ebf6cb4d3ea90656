"""Compares the zoo with its peers: `make bench`.

    python -m benchmarks
    python -m benchmarks fit startup --rounds=1

Needs MNIST in $MNIST_DIR. Without names, it runs all comparisons but photo_race, which
takes an hour and needs CIFAR-10 in $CIFAR10_DIR. Prints the tables and writes them into
the documents. Stores the results in benchmarks/results.json and keeps those of other
comparisons there.
"""

from __future__ import annotations

import json
import subprocess
from types import ModuleType
from typing import Any

from benchmarks import (
    comparison,
    data,
    device,
    document,
    fit,
    growth,
    photo_race,
    photos,
    race,
    startup,
)
from zoo import console, files
from zoo.commands import flags
from zoo.errors import unknown

COMPARISONS: dict[str, ModuleType] = {
    "fit": fit,
    "photos": photos,
    "race": race,
    "photo_race": photo_race,
    "device": device,
    "startup": startup,
    "growth": growth,
}
# Trains for an hour, on another dataset.
_ONLY_BY_NAME = ("photo_race",)
FLAGS = flags.Flags()
FLAGS.integer(
    "rounds", None, "Rounds to measure; default: as the comparison says.", lower_bound=1
)


def run(name: str, rounds: int | None) -> dict[str, Any]:
    """Runs a comparison in its own process, so that it cannot affect the next one."""
    before = comparison.machine()
    options = [] if rounds is None else [f"--rounds={rounds}"]
    done = comparison.run_python(
        "-m", f"benchmarks.{name}", *options, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout) | {"machine": before}


def section(name: str, result: dict[str, Any]) -> str:
    """Returns the section of a document about a result, in Markdown."""
    machine = comparison.machine_line(result["machine"])
    return COMPARISONS[name].table(result) + machine


def main(argv: list[str]) -> None:
    """Runs the named comparisons and writes their results."""
    usual = [name for name in COMPARISONS if name not in _ONLY_BY_NAME]
    names = flags.parse(argv, __doc__, FLAGS) or usual
    for name in names:
        if name not in COMPARISONS:
            raise unknown("comparison", name, COMPARISONS)
        comparison.require(getattr(COMPARISONS[name], "NEEDS", ()))
    data.directory()
    if "photo_race" in names:
        data.cifar10_directory()
    documents = {name: document.where(name) for name in names}
    for name in names:
        result = run(name, FLAGS.rounds)
        files.write_json(document.RESULTS, document.results() | {name: result})
        text = section(name, result)
        document.rewrite(documents[name], name, text)
        if name == "growth":
            growth.draw(result)
        print(f"{name}\n\n{text}", flush=True)


if __name__ == "__main__":
    comparison.end_with_children()
    console.main(main)
