"""Starts every command, and reports a missing package in one line."""

from __future__ import annotations

import importlib
import sys

from zoo.errors import missing_package


def run(module: str) -> None:
    """Imports a module and runs its ``main`` as ``zoo.console.main`` does.

    Args:
        module: the dotted name of the module. It is imported here, so that a package
            that it lacks is reported; this file itself needs no installed package.
    """
    try:
        console = importlib.import_module("zoo.console")
        command = importlib.import_module(module).main
    except ModuleNotFoundError as error:
        print(f"Error: {missing_package(error)}", file=sys.stderr)
        sys.exit(2)
    console.main(command)
