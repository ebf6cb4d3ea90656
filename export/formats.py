"""The names of the export formats; each format is a module of this package."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Sequence

from export.base import Format
from zoo.errors import UserError, unknown

#: Modules of this package with an object ``FORMAT``, in the order in which they are
#: written. They are imported late, because they import TensorFlow.
FORMATS = ("saved_model", "tflite", "tflite_trainable", "web")
#: They exclude tflite_trainable, because verifying it takes as long as all others
#: together, and web, because it needs Node.
DEFAULT_FORMATS = ("saved_model", "tflite")

#: The optimizers of ``tflite_trainable`` and their momentum.
DEVICE_OPTIMIZERS = {"sgd": 0.0, "momentum": 0.9}


def get_format(name: str) -> Format:
    """Returns the format of this name, which must be in ``FORMATS``."""
    return importlib.import_module(f"export.{name}").FORMAT


def parse_formats(text: str) -> tuple[str, ...]:
    """Parses names such as ``saved_model,tflite``, or ``none``.

    Returns:
        The names in the order of ``FORMATS``.

    Raises:
        UserError: a name is not a format.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in FORMATS and (name != "none" or len(names) > 1):
            raise unknown("export format", name, (*FORMATS, "none"))
    return tuple(name for name in FORMATS if name in names)


def check_node(formats: Sequence[str]) -> None:
    """Raises UserError if ``web`` is asked for and Node or npm is not installed."""
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    if missing and "web" in formats:
        raise UserError(
            "The format web needs Node.js with npm. Not found: "
            f"{', '.join(missing)}. Install it (apt-get install nodejs npm, or "
            "nodejs.org), or leave web out."
        )


def check_request(
    formats: Sequence[str],
    train_batch: int | None = None,
    device_optimizer: str | None = None,
) -> tuple[tuple[str, ...], int, str]:
    """Checks the arguments of an export before any work is done.

    Args:
        formats: names in ``FORMATS``.
        train_batch: batch size of ``tflite_trainable``, 1 to 1024; None for 16.
        device_optimizer: optimizer of ``tflite_trainable``, ``sgd`` or ``momentum``;
            None for ``sgd``.

    Returns:
        The formats in the order of ``FORMATS``, and the two options.

    Raises:
        UserError: a value is invalid, an option belongs to another format, or Node is
            missing for ``web``.
    """
    formats = parse_formats(",".join(formats))
    if not formats:
        raise UserError(f"--formats names no format. Known: {', '.join(FORMATS)}.")
    check_node(formats)
    given = {"train_batch": train_batch, "device_optimizer": device_optimizer}
    for name, value in given.items():
        if value is not None and "tflite_trainable" not in formats:
            raise UserError(
                f"--{name} is for tflite_trainable. Received: --{name}={value} with "
                f"--formats={','.join(formats)}. Add it to --formats."
            )
    train_batch = 16 if train_batch is None else train_batch
    if not isinstance(train_batch, int) or not 1 <= train_batch <= 1024:
        raise UserError(
            f"--train_batch must be a whole number, 1 to 1024. Received: {train_batch}."
        )
    device_optimizer = "sgd" if device_optimizer is None else device_optimizer
    if device_optimizer not in DEVICE_OPTIMIZERS:
        raise UserError(
            f"--device_optimizer must be {' or '.join(DEVICE_OPTIMIZERS)}. Received: "
            f"{device_optimizer or 'nothing'}."
        )
    return formats, train_batch, device_optimizer
