"""Exit codes, one-line errors, warnings and tables, which all commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from zoo.errors import Interrupted, ZooError, missing_package


def main(command: Callable[[list[str]], int | None]) -> None:
    """Runs a command and exits: 0 for success, 1 for a failure, 2 for a user's mistake.

    The exit code is 130 after Ctrl-C and 143 after SIGTERM. A ``ZooError`` and a
    missing package become one line on stderr. Any other exception is a bug and keeps
    its traceback.
    """
    try:
        try:
            sys.exit(command(sys.argv) or 0)
        except ModuleNotFoundError as error:
            raise missing_package(error) from None
    except ZooError as error:
        line = " ".join(str(error).split())
        kind = "" if isinstance(error, Interrupted) else "Error: "
        print(f"{kind}{line}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # such as `... | head`
        sys.stderr.close()
        sys.exit(141)


def is_terminal() -> bool:
    """Whether stdout is a terminal; a closed one is not."""
    return sys.stdout is not None and sys.stdout.isatty()


def warn(message: str) -> None:
    """Prints a warning of one line on stderr."""
    print(f"WARNING: {message}", file=sys.stderr, flush=True)


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns a table as lines, with each column padded to its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def format_milliseconds(value: float) -> str:
    """Returns a duration in milliseconds to two digits, such as 0.0071; never zero."""
    return f"{value:.2f}" if value >= 0.1 else f"{max(value, 1e-4):.2g}"
