"""Decides which examples fit in memory, and which are mapped from disk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import psutil

from zoo.data.dataset import dimensions
from zoo.errors import RunError

# TensorFlow 2.21 needs two more copies while it makes a tensor of an array (measured).
_COPIES = 3

# Limit and usage of a control group, in versions 2 and 1.
_CONTROL_FILES = (
    ("memory.max", "memory.current"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes"),
)


def choose_mapped(
    shapes: Sequence[tuple[int, ...]], limit: int | None, what: str
) -> list[bool]:
    """Returns which splits to map from disk so that the others fit in memory.

    The smallest splits are put into memory first.

    Args:
        shapes: shapes of the splits' uint8 examples, (n, height, width, channels).
        limit: memory for all splits in bytes; None for no limit.
        what: name of the dataset in the message.

    Raises:
        RunError: the splits that are not mapped need more memory than there is.
    """
    mapped, needed = [False] * len(shapes), 0
    for i in sorted(range(len(shapes)), key=lambda i: math.prod(shapes[i])):
        size = _COPIES * math.prod(shapes[i])
        mapped[i] = limit is not None and needed + size > limit
        needed += 0 if mapped[i] else size
    there = available()
    if needed > there:
        kept = [dimensions(s) for s, m in zip(shapes, mapped, strict=True) if not m]
        raise RunError(
            f"Dataset {what!r} does not fit in memory. Needed: {needed / 1e9:,.1f} GB "
            f"for {' and '.join(kept)} pixels. Available: {there / 1e9:,.1f} GB. "
            "Choose a smaller --image_size or dataset, or a machine with more memory."
        )
    return mapped


def available(
    groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> int:
    """Returns the number of bytes that this process may still allocate.

    This is the free memory of the machine or, if that is less, of the process's control
    group, such as that of a container or a batch job.

    Args:
        groups: directory in which Linux shows control groups.
        own: file in which Linux lists the control groups of this process.
    """
    there: float = psutil.virtual_memory().available
    for line in own.read_text().splitlines() if own.exists() else ():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            group = groups / controllers / path.lstrip("/")
            # A container sees only the groups near the root.
            there = min(there, *map(_left, (group, *group.parents)))
    return max(int(there), 0)


def _left(group: Path) -> float:
    """Returns a control group's free bytes; infinity if it has no limit."""
    for limit, usage in _CONTROL_FILES:
        try:
            left = int((group / limit).read_text()) - int((group / usage).read_text())
            words = (group / "memory.stat").read_text().split()
        except (OSError, ValueError):  # another version, or no limit ("max")
            continue
        # Linux frees pages of files when a process needs memory.
        pages = dict(zip(words[::2], words[1::2], strict=True))
        return left + int(pages.get("inactive_file", 0))
    return math.inf
