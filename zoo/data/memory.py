"""Memory for examples, or one line that says that there is not enough."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import psutil

from zoo.data.dataset import dimensions
from zoo.errors import RunError

# The array, and two more while TensorFlow makes a tensor of it (measured, 2.21).
_COPIES = 3

# Limit and usage of a control group, in versions 2 and 1.
_CONTROL_FILES = (
    ("memory.max", "memory.current"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes"),
)


def choose_mapped(
    shapes: Sequence[tuple[int, ...]], limit: int | None, what: str
) -> list[bool]:
    """Tells which splits are mapped from disk, so that the others fit in memory.

    The smallest splits come into memory first.

    Args:
        shapes: of the splits' uint8 examples, (n, height, width, channels).
        limit: bytes for all of them; None for no limit.
        what: the dataset, for the message.

    Raises:
        RunError: what is not mapped needs more memory than there is.
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
    """Returns the bytes that this process may still take.

    What the machine has, or what the limit of a control group (a container's, a
    batch job's) leaves of it.

    Args:
        groups: where Linux shows control groups.
        own: where it says which ones this process is in.
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
    """Returns the bytes that a control group's limit leaves; infinity without one."""
    for limit, usage in _CONTROL_FILES:
        try:
            left = int((group / limit).read_text()) - int((group / usage).read_text())
            words = (group / "memory.stat").read_text().split()
        except (OSError, ValueError):  # not this version, or no limit: "max"
            continue
        # Pages of files are given up when memory is asked for.
        pages = dict(zip(words[::2], words[1::2], strict=True))
        return left + int(pages.get("inactive_file", 0))
    return math.inf
