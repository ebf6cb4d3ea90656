"""Imports run one way: commands -> export -> zoo.training -> zoo.models, zoo.data."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from tests.conftest import ROOT

# The commands train and export may import everything in the package zoo.
TOP = ROOT / "zoo" / "commands"
FORBIDDEN = {
    "zoo": ("export", "zoo.commands", "train", "benchmarks", "tests"),
    "zoo/data": ("zoo.models", "zoo.training", "zoo.plots"),
    "zoo/models": ("zoo.data", "zoo.training", "zoo.plots"),
    "zoo/training": ("zoo.plots", "zoo.commands.cli", "zoo.runs.predict"),
    "export": ("zoo.commands", "train", "benchmarks", "tests"),
}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_commands_begin_without_tensorflow_and_keras():
    code = "import sys, zoo.commands.train, zoo.commands.export, zoo.commands.cli; "
    code += "import export.serve, train, export.__main__, zoo.__main__; "
    code += "assert not {'tensorflow', 'keras'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_imports_run_one_way(folder):
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in (ROOT / folder).rglob("*.py")
        if TOP not in path.parents
        for name in imported(path)
        if f"{name}.".startswith(tuple(f"{each}." for each in FORBIDDEN[folder]))
    ]
    assert not wrong


def test_no_function_is_longer_than_60_lines():
    files = [ROOT / "train.py", *(ROOT / "zoo").rglob("*.py")]
    files += (ROOT / "export").glob("**/[!.]*.py")
    long = [
        f"{path.relative_to(ROOT)}: {node.name}, {node.end_lineno - node.lineno + 1}"
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= 60
    ]
    assert not long
