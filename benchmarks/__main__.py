"""Compares the zoo with its peers: `make bench`.

    python -m benchmarks
    python -m benchmarks fit startup --rounds=1

Needs MNIST in $MNIST_DIR. Without names, it runs the comparisons that take minutes. By
name it also runs photo_race and finetune, which take hours and need CIFAR-10 in
$CIFAR10_DIR; photographs, which takes hours and needs photographs in $TRASH_DIR; and
personalize, scaling and mobile_fit. Prints the tables and writes them into the
documents. Stores the results in benchmarks/results.json and keeps those of other
comparisons there.
"""

from __future__ import annotations

import importlib
import json
import signal
import subprocess
import sys
from types import ModuleType
from typing import Any

from benchmarks import comparison, data, document
from zoo import console, files
from zoo.commands import flags
from zoo.errors import unknown

USUAL = ("fit", "race", "device", "startup", "growth")
NAMED = (
    "photo_race",
    "finetune",
    "photographs",
    "personalize",
    "scaling",
    "mobile_fit",
)
#: Each is a module with ``measure(rounds)``, ``ROUNDS``, and ``table(result)`` or, for
#: several tables, ``tables(result)``; perhaps with ``NEEDS``, packages of the peers,
#: and ``DATA``, functions that find its datasets, if it needs others than MNIST.
COMPARISONS = (*USUAL, *NAMED)
FLAGS = flags.Flags()
FLAGS.integer(
    "rounds", None, "Rounds to measure; default: as the comparison says.", lower_bound=1
)


def find(name: str) -> ModuleType:
    """Returns the module of a comparison whose peers and data are there."""
    if name not in COMPARISONS:
        raise unknown("comparison", name, COMPARISONS)
    module = importlib.import_module(f"benchmarks.{name}")
    comparison.require(getattr(module, "NEEDS", ()))
    for directory in getattr(module, "DATA", (data.directory,)):
        directory()
    return module


def run(name: str, rounds: int) -> dict[str, Any]:
    """Runs a comparison in its own process, so that it cannot affect the next one."""
    before = comparison.machine()
    code = f"import json; from benchmarks.{name} import measure; "
    code += f"print(json.dumps(measure({rounds})))"
    done = comparison.run_python("-c", code, stdout=subprocess.PIPE, text=True)
    # A comparison that goes on where it was stopped describes the machine itself.
    return {"machine": before} | json.loads(done.stdout)


def sections(name: str, result: dict[str, Any]) -> dict[str, str]:
    """Returns the sections of documents about a result, by their markers."""
    module = importlib.import_module(f"benchmarks.{name}")
    if hasattr(module, "tables"):
        texts = module.tables(result)
    else:
        texts = {name: module.table(result)}
    found = result.get("machine")  # not recorded for personalize
    line = comparison.machine_line(found) if found else ""
    return {marker: text + line for marker, text in texts.items()}


def main(argv: list[str]) -> None:
    """Runs the named comparisons and writes their results."""
    names = flags.parse(argv, __doc__, FLAGS) or USUAL
    modules = {name: find(name) for name in names}
    for name, module in modules.items():
        result = run(name, FLAGS.rounds or module.ROUNDS)
        files.write_json(document.RESULTS, document.results() | {name: result})
        for marker, text in sections(name, result).items():
            document.rewrite(marker, text)
            print(f"{marker}\n\n{text}", flush=True)


if __name__ == "__main__":
    # SIGTERM ends the processes of the comparison too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console.main(main)
