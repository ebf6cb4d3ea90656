"""What every command line of the project shares: exit codes and one-line errors."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from absl import flags

from zoo.errors import Interrupted, UserError, ZooError


def main(command: Callable[[list[str]], int | None]) -> None:
    """Runs a command and exits: 0 done, 1 failed, 2 the user's mistake.

    130 after Ctrl-C, 143 after SIGTERM.

    An error of the zoo's own kind is one line on stderr. Anything else is a bug and
    keeps its traceback.
    """
    try:
        sys.exit(command(sys.argv) or 0)
    except ZooError as error:
        line = " ".join(str(error).split())
        kind = "" if isinstance(error, Interrupted) else "Error: "
        print(f"{kind}{line}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # as in `... | head`
        sys.stderr.close()
        sys.exit(141)


def parse_flags(argv: Sequence[str], doc: str) -> list[str]:
    """Parses absl flags; --help prints ``doc`` and the flags, and exits with 0.

    absl's app.run would exit with 1 for --help and print a page for a mistyped flag.

    Returns:
        The arguments that are not flags, without the program's name.

    Raises:
        UserError: an unknown flag or a value that it does not take.
    """
    if any(argument in ("--help", "-help", "-h", "--h") for argument in argv[1:]):
        print(doc.strip(), "\n\nFlags:\n")
        print(_flags_help())
        sys.exit(0)
    try:
        return flags.FLAGS(list(argv))[1:]
    except (flags.Error, ValueError) as error:  # ValueError: --noflag=value
        raise UserError(f"{error} (--help lists the flags)") from None


def _flags_help() -> str:
    return flags.FLAGS.module_help(sys.modules["__main__"].__name__) or ""


def warn(message: str) -> None:
    """Prints a warning of one line on stderr."""
    print(f"WARNING: {message}", file=sys.stderr, flush=True)


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns the rows of a table as lines, columns padded to their widest cell."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
