"""Runs the soak test: kills 100 runs of each training, and tries 100,000 inputs.

make soak                       all of it; rewrites the table in docs/reliability.md
python -m tests.soak --kills=8 --cases=1000 --data_dir=D     less; the table says so
"""

from __future__ import annotations

import argparse
import concurrent.futures
import datetime
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from benchmarks import document
from tests.soak.kills import CASES

ROOT = pathlib.Path(__file__).parents[2]
PROPERTIES = ROOT / "tests/zoo/test_properties.py"


def kills(
    case: str, count: int, directory: pathlib.Path, data_dir: str, seed: int
) -> tuple[str, int, int, int]:
    """Kills a training ``count`` times; returns its row of the table."""
    places = [f"--directory={directory / case}", f"--data_dir={data_dir}"]
    what = [f"--case={case}", f"--kills={count}", f"--seed={seed}"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak.kills", *what, *places],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    for what in found["lost"]:
        print(f"{case}: {what}", file=sys.stderr)
    tried, lost = found["kills"], len(found["lost"])
    return f"SIGKILL while training: {case}", tried, 0 if lost else tried, lost


def properties(count: int) -> Iterator[tuple[str, int, int, int]]:
    """Runs the property tests; yields a row for each."""
    flags = ["-q", "-rA", "-n", "4", "--dist=load"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *flags, str(PROPERTIES)],
        cwd=ROOT,
        env={**os.environ, "SOAK_CASES": str(count)},
        stdout=subprocess.PIPE,
        text=True,
    )
    from tests.zoo.test_properties import SHARES

    for name, share in SHARES.items():
        tried = round(share * count)
        passed = f"PASSED {PROPERTIES.relative_to(ROOT)}::{name}\n" in done.stdout
        what = name.removeprefix("test_").replace("_", " ")
        yield f"made up: {what}", tried, tried if passed else 0, 0
    if done.returncode:
        print(done.stdout, file=sys.stderr)


def table(rows: list[tuple[str, int, int, int]]) -> str:
    """Returns the rows in Markdown, with their sum and the day."""
    total = ["all", *(sum(column) for column in list(zip(*rows, strict=True))[1:])]
    day = datetime.datetime.now(datetime.UTC).date()
    lines = ["| fault | tried | survived | bits lost |", "| --- | --: | --: | --: |"]
    for what, tried, survived, lost in [*rows, total]:
        # Each variable or value that differs counts as one bit, at least.
        lines.append(f"| {what} | {tried:,} | {survived:,} | {lost:,} |")
    return "\n".join([*lines, "", f"Run on {day}.\n"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data_dir", default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        place = pathlib.Path(directory)
        data_dir = options.data_dir or str(place / "data")

        def row(case: str) -> tuple[str, int, int, int]:
            return kills(case, options.kills, place, data_dir, options.seed)

        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            rows = list(pool.map(row, CASES))
    rows += properties(options.cases)
    document.rewrite(document.where("soak"), "soak", table(rows))
    print(table(rows))
    return any(tried != survived for _, tried, survived, _ in rows)


if __name__ == "__main__":
    sys.exit(main())
