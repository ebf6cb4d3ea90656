"""The ways in which a command ends badly without being at fault itself."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable


class ZooError(Exception):
    """A one-line message for the user; ``exit_code`` is the process's."""

    exit_code = 1


class UserError(ZooError):
    """What the user asked for cannot be done: wrong name, number, file. Exit 2."""

    exit_code = 2


class RunError(ZooError):
    """Right request, failed work: disk full, damaged data, lost network. Exit 1."""


class Interrupted(ZooError):
    """A signal asked for a stop, and what there was to keep is kept.

    Args:
        message: what was kept and how to go on.
        signal: the number of the signal; the exit code is 128 above it.
    """

    def __init__(self, message: str, signal: int):
        super().__init__(message)
        self.exit_code = 128 + signal


def unknown(kind: str, received: str, known: Iterable[str]) -> UserError:
    """Builds the answer to an unknown name: the list and the nearest name.

    Args:
        kind: what was named, in lower case, such as ``"model"``.
        received: the name that is not known.
        known: the names that are.
    """
    names = sorted(known)
    close = difflib.get_close_matches(received, names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return UserError(
        f"Unknown {kind} {received!r}. Known: {', '.join(names) or 'none'}.{hint}"
    )


#: Packages of this repository: one of them that is not found is no user's mistake.
_OURS = ("zoo", "export", "benchmarks", "tests")


def missing_package(error: ModuleNotFoundError) -> UserError:
    """Builds the answer to a package that is not installed.

    Raises:
        ModuleNotFoundError: ``error``, where the package is one of ours.
    """
    package = (error.name or "").partition(".")[0]
    if package in ("", *_OURS):
        raise error
    return UserError(
        f"The package {package} is not installed for {sys.executable}. Activate the "
        "environment that make has installed it into: . .venv/bin/activate; "
        "or install what the zoo needs: pip install -r requirements.txt"
    )
