"""Where a run comes from: the command, the versions, the commit."""

from __future__ import annotations

import pathlib
import platform
import shlex
import subprocess
import sys

import keras
import tensorflow as tf
import tensorflow_datasets as tfds


def command() -> str:
    """Returns the command that this process runs, without the path of the program."""
    program, *arguments = sys.argv
    return shlex.join(["python", pathlib.Path(program).name, *arguments])


def versions() -> dict[str, str]:
    """Returns the versions of what the numbers of a run depend on."""
    return {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "tensorflow_datasets": tfds.__version__,
        "python": platform.python_version(),
    }


def git_commit() -> str | None:
    """Returns the commit of the project; None without one."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--verify", "--quiet", "HEAD"],
            cwd=pathlib.Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
