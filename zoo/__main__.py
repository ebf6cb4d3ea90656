"""Lists, describes, trains, exports and uses the models of the zoo.

    python -m zoo COMMAND [ARGUMENTS] [FLAGS]
    python -m zoo COMMAND --help

Without a command, it lists the models. If pip has installed the zoo, the command `zoo`
does the same as `python -m zoo`.
"""

from __future__ import annotations

import importlib
import types

from zoo import console
from zoo.errors import unknown

#: The modules of zoo.commands that are commands. Each is imported when it is needed, so
#: that a package that is missing is reported in one line.
COMMANDS = ("train", "export", "evaluate", "predict", "list", "describe")


def main(*words: str) -> None:
    """Runs a command line and exits.

    Args:
        *words: words that go before those of the command line, such as ``train``.
    """
    console.main(lambda argv: run(*words, *argv[1:]))


def run(name: str = "list", *arguments: str) -> None:
    """Runs the command of this name."""
    if name in ("help", "--help", "-help", "--h", "-h"):
        rows = [(name, str(_module(name).__doc__).splitlines()[0]) for name in COMMANDS]
        lines = [f"  {line}" for line in console.align(rows)]
        print(str(__doc__).strip(), "\nCommands:\n", *lines, sep="\n")
    elif name in COMMANDS:
        _module(name).main([name, *arguments])
    else:
        raise unknown("command", name, COMMANDS)


def _module(name: str) -> types.ModuleType:
    return importlib.import_module(f"zoo.commands.{name}")


if __name__ == "__main__":
    main()
