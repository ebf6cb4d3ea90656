"""Flags, exit codes, one-line errors and tables, which all commands share."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags

from zoo.errors import Interrupted, UserError, ZooError, missing_package

HELP = ("--help", "-help", "--h", "-h")


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


class Flags(flags.FlagValues):
    """The absl flags of one command, separate from those of all other commands.

    The methods take the arguments of absl's ``DEFINE_string`` and its siblings.

    FLAGS = Flags()
    FLAGS.string("model", None, "Architecture to train.")
    FLAGS.model
    """

    def _define(self, define: Callable[..., Any], *args: Any, **bounds: int) -> None:
        define(*args, flag_values=self, **bounds)

    string = functools.partialmethod(_define, flags.DEFINE_string)
    integer = functools.partialmethod(_define, flags.DEFINE_integer)
    float = functools.partialmethod(_define, flags.DEFINE_float)
    boolean = functools.partialmethod(_define, flags.DEFINE_boolean)
    enum = functools.partialmethod(_define, flags.DEFINE_enum)


def parse_flags(argv: Sequence[str], doc: str | None, values: Flags) -> list[str]:
    """Parses absl flags. --help prints ``doc`` and the flags, and exits with 0.

    absl's ``app.run`` would exit with 1 after --help, and print a page of text for a
    mistyped flag.

    Args:
        argv: the name of the command, its flags and its arguments.
        doc: the text that --help prints before the flags.
        values: the flags of the command.

    Returns:
        The arguments that are not flags, without the name of the command.

    Raises:
        UserError: a flag is unknown or has a value that it does not accept.
    """
    if any(argument in HELP for argument in argv[1:]):
        print(inspect.cleandoc(doc or ""))
        if len(values):
            print("\nFlags:\n")
        for name in values:
            print(_flag_help(values[name]))
        sys.exit(0)
    for name in values:  # forget the values of an earlier call in this process
        values[name].unparse()
    try:
        return values(list(argv))[1:]
    except (flags.Error, ValueError) as error:  # ValueError: --noflag=value
        raise UserError(f"{error} (--help lists the flags)") from None


def _flag_help(flag: flags.Flag) -> str:
    name = f"[no]{flag.name}" if flag.boolean else flag.name
    default = "" if flag.default is None else f" (default: {flag.default_as_str})"
    return flags.text_wrap(
        f"--{name}: {flag.help}{default}", 80, indent="    ", firstline_indent="  "
    )


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
