"""Memory for images, or one line that says that there is not enough."""

from __future__ import annotations

import numpy as np

from zoo.errors import RunError


def allocate(shape: tuple[int, ...]) -> np.ndarray:
    """Returns an uninitialized uint8 array.

    Raises:
        RunError: it does not fit in memory.
    """
    try:
        return np.empty(shape, np.uint8)
    except (MemoryError, ValueError) as error:  # ValueError: beyond what numpy counts.
        size = "x".join(str(n) for n in shape)
        raise RunError(
            f"{size} pixels do not fit in memory: choose a smaller image size."
        ) from error
