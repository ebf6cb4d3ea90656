"""How every command begins: a package that is not installed gets one line."""

from __future__ import annotations

import importlib
import sys

from zoo.errors import missing_package


def run(module: str) -> None:
    """Imports a module and runs its ``main`` as ``zoo.console.main`` does.

    Args:
        module: a dotted name. This file imports nothing that has to be installed, so
            the name is all that it is given.
    """
    try:
        console = importlib.import_module("zoo.console")
        command = importlib.import_module(module).main
    except ModuleNotFoundError as error:
        print(f"Error: {missing_package(error)}", file=sys.stderr)
        sys.exit(2)
    console.main(command)
