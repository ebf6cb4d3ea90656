"""Every file has its floor, and imports run down; functions have a limit."""

from __future__ import annotations

import ast
import pathlib
import subprocess
import sys

from tests.conftest import ROOT

#: The floors of the house, from the lowest. A file imports from its own floor and from
#: those below, wherever the import stands in the file.
FLOORS = [
    ["zoo/errors.py", "zoo/files.py", "zoo/console.py"],
    ["zoo/recipe.py", "zoo/startup.py"],
    ["zoo/records", "zoo/data"],
    ["zoo/models", "zoo/registry.py"],
    ["zoo/runs", "zoo/__init__.py"],
    ["zoo/training"],
    ["zoo/plots"],
    ["export"],
    ["zoo/commands"],
    ["zoo/__main__.py", "export/__main__.py", "train.py"],
]
FILES = [
    ROOT / "train.py",
    *(ROOT / "zoo").rglob("*.py"),
    *(ROOT / "export").rglob("*.py"),
]


def floor(path):
    """Returns the number of a file's floor, or None: that of its longest entry."""
    entries = {entry: i for i, floor in enumerate(FLOORS) for entry in floor}
    name = path.relative_to(ROOT)
    for place in (name, *name.parents):
        if place.as_posix() in entries:
            return entries[place.as_posix()]
    return None


def imported(path):
    """Yields the files of this repository that a file imports anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from filter(None, map(file_of, names))


def file_of(name):
    """Returns the file of a module, or of the module that has an attribute."""
    parts = name.split(".")
    modules = ["/".join(parts[:n]) for n in range(len(parts), 0, -1)]
    ends = (".py", "/__init__.py")
    files = (ROOT / f"{module}{end}" for module in modules for end in ends)
    return next(filter(pathlib.Path.is_file, files), None)


def test_every_file_has_a_floor_and_every_floor_its_files():
    assert [path for path in FILES if floor(path) is None] == []
    entries = [entry for floor in FLOORS for entry in floor]
    assert [entry for entry in entries if not (ROOT / entry).exists()] == []


def test_no_import_runs_up():
    up = {
        f"{path.relative_to(ROOT)} imports {other.relative_to(ROOT)}"
        for path in FILES
        for other in imported(path)
        if floor(other) is None or floor(other) > floor(path)
    }
    assert not up


def test_commands_begin_without_tensorflow_and_keras():
    code = "import sys, importlib, zoo.__main__ as main, train, export.__main__\n"
    code += "for name in main.COMMANDS: importlib.import_module(f'zoo.commands.{name}')"
    code += "\nassert not {'tensorflow', 'keras'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_no_function_is_longer_than_100_lines():
    long = [
        f"{path.relative_to(ROOT)}: {node.name}, {node.end_lineno - node.lineno + 1}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= 100
    ]
    assert long == []
