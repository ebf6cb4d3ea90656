"""What every command line of the project shares: exit codes and one-line errors."""

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
    """Runs a command and exits: 0 done, 1 failed, 2 the user's mistake.

    The exit code is 130 after Ctrl-C and 143 after SIGTERM. A ``ZooError`` is one line
    on stderr. Anything else is a bug and keeps its traceback.
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
    """The absl flags of one command, apart from those of any command beside it.

    Its methods take what ``DEFINE_string`` and the others of absl take.

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


def parse_flags(argv: Sequence[str], doc: str, values: Flags) -> list[str]:
    """Parses absl flags; --help prints ``doc`` and the flags, and exits with 0.

    absl's app.run would exit with 1 for --help and print a page for a mistyped flag.

    Args:
        argv: the command's name, its flags and its arguments.
        doc: what --help says before it lists the flags.
        values: the command's own flags.

    Returns:
        The arguments that are not flags, without the command's name.

    Raises:
        UserError: an unknown flag or a value that it does not take.
    """
    if any(argument in HELP for argument in argv[1:]):
        print(inspect.cleandoc(doc))
        if len(values):
            print("\nFlags:\n")
        for name in values:
            print(_flag_help(values[name]))
        sys.exit(0)
    for name in values:  # what an earlier call in this process gave is forgotten
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
    """Whether somebody watches what is printed; stdout may be closed."""
    return sys.stdout is not None and sys.stdout.isatty()


def warn(message: str) -> None:
    """Prints a warning of one line on stderr."""
    print(f"WARNING: {message}", file=sys.stderr, flush=True)


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns the rows of a table as lines, columns padded to their widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def format_milliseconds(value: float) -> str:
    """Returns a duration in milliseconds to two digits, such as 0.0071; never zero."""
    return f"{value:.2f}" if value >= 0.1 else f"{max(value, 1e-4):.2g}"
