"""Errors that commands report in one line, each with an exit code."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable


class ZooError(Exception):
    """A message of one line for the user; the process ends with ``exit_code``."""

    exit_code = 1


class UserError(ZooError):
    """The user asked for something impossible, such as an unknown name. Exit code 2."""

    exit_code = 2


class RunError(ZooError):
    """The work failed: the disk is full, the network is down. Exit code 1."""


class Interrupted(ZooError):
    """A signal stopped the command after it had saved its work.

    Args:
        message: text that says what was saved and how to continue.
        signal: number of the signal; the exit code is 128 plus this number.
    """

    def __init__(self, message: str, signal: int):
        super().__init__(message)
        self.exit_code = 128 + signal


def unknown(kind: str, received: str, known: Iterable[str]) -> UserError:
    """Returns the error for an unknown name, with the known ones and the nearest.

    Args:
        kind: kind of the name in lower case, such as ``"model"``.
        received: the unknown name.
        known: the known names.
    """
    names = sorted(known)
    # difflib does not match a part of a name, such as "cifar10" in "resnet/cifar10".
    holding = [name for name in names if received and received in name]
    close = difflib.get_close_matches(received, names, n=1) or sorted(holding, key=len)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return UserError(
        f"Unknown {kind} {received!r}. Known: {', '.join(names) or 'none'}.{hint}"
    )


#: Packages of this repository.
_OURS = ("zoo", "export", "benchmarks", "tests")


def missing_package(error: ModuleNotFoundError) -> UserError:
    """Returns the error for a package that is not installed.

    If the package is one of ours, that is a bug, and ``error`` itself is raised.
    """
    package = (error.name or "").partition(".")[0]
    if package in ("", *_OURS):
        raise error
    return UserError(
        f"The package {package} is not installed for {sys.executable}. Activate the "
        "environment that make has installed it into: . .venv/bin/activate; "
        "or install it: pip install -r requirements.txt"
    )
