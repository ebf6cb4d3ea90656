"""SOURCE, the first argument of the commands that use a finished model."""

from __future__ import annotations

from collections.abc import Sequence

from zoo.commands import flags
from zoo.errors import UserError

#: The flags that can name a source too.
NAMES = ("run_dir", "artifact", "weights")


def define(values: flags.Flags) -> None:
    """Defines the flags that can name a source too."""
    for name in NAMES:
        values.string(name, None, "The same as SOURCE.")


def parse(argv: Sequence[str], doc: str | None, values: flags.Flags) -> list[str]:
    """Parses flags; returns the source, if there is one, and the other arguments."""
    arguments = flags.parse(argv, doc, values)
    given = {name: value for name in NAMES if (value := values[name].value)}
    if len(given) > 1:
        shown = " ".join(f"--{name}={value}" for name, value in given.items())
        raise UserError(f"{argv[0]} takes one SOURCE. Received: {shown}.")
    return [*given.values(), *arguments]
