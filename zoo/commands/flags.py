"""absl flags, one by one or from the fields of a dataclass, and their help."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
import typing
from collections.abc import Callable, Collection, Sequence
from typing import Any

from absl import flags

from zoo.errors import UserError

HELP = ("--help", "-help", "--h", "-h")


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

    def define(
        self, dataclass: type, *, texts: Collection[str] = (), unset: bool = False
    ) -> list[str]:
        """Defines a flag for each field of a dataclass that has a help.

        The metadata of a field hold its ``help``, and may hold the allowed ``choices``.
        The flag has the type and the default of the field.

        Args:
            dataclass: the class.
            texts: fields that are flags of text, which the command parses itself.
            unset: whether the default of each flag is None, for "not given".

        Returns:
            The names of the flags.
        """
        defined, hints = [], typing.get_type_hints(dataclass)
        for field in dataclasses.fields(dataclass):
            if "help" not in field.metadata:
                continue
            defined.append(field.name)
            text, choices = field.metadata["help"], field.metadata.get("choices")
            has_default = field.default is not dataclasses.MISSING and not unset
            default = field.default if has_default else None
            types = {hints[field.name], *typing.get_args(hints[field.name])}
            if choices:
                self.enum(field.name, default, choices, text)
            elif field.name in texts or str in types:
                self.string(field.name, default, text)
            elif bool in types:
                self.boolean(field.name, default, text)
            elif int in types:
                self.integer(field.name, default, text)
            else:
                self.float(field.name, default, text)
        return defined


def parse(argv: Sequence[str], doc: str | None, values: Flags) -> list[str]:
    """Parses absl flags. --help prints ``doc`` and the flags, and exits with 0.

    absl's ``app.run`` would exit with 1 after --help, and print a page of text for a
    mistyped flag.

    Args:
        argv: the name of the command, its flags and its arguments.
        doc: the text that --help prints before the flags.
        values: the flags of the command.

    Returns:
        The arguments that are not flags, without the name of the command.
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


def parse_only(argv: Sequence[str], doc: str | None, values: Flags) -> None:
    """Parses flags like ``parse``; raises UserError if there are other arguments."""
    if extra := parse(argv, doc, values):
        raise UserError(f"Only flags are taken. Received: {' '.join(extra)}.")


def _flag_help(flag: flags.Flag) -> str:
    name = f"[no]{flag.name}" if flag.boolean else flag.name
    default = "" if flag.default is None else f" (default: {flag.default_as_str})"
    return flags.text_wrap(
        f"--{name}: {flag.help}{default}", 80, indent="    ", firstline_indent="  "
    )
