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

#: The files of ``tflite``.
TFLITE_FILES = ("float32", "float16", "dynamic", "int8", "int16x8")

#: The optimizers of ``tflite_trainable`` and their momentum.
DEVICE_OPTIMIZERS = {"sgd": 0.0, "momentum": 0.9}


def get_format(name: str) -> Format:
    """Returns the format of this name, which must be in ``FORMATS``."""
    module = "ondevice.trainable" if name == "tflite_trainable" else name
    return importlib.import_module(f"export.{module}").FORMAT


def parse_formats(text: str) -> tuple[str, ...]:
    """Parses names such as ``saved_model,tflite``, or ``none``.

    Returns:
        The names in the order of ``FORMATS``.

    Raises:
        UserError: a name is not a format.
    """
    names = _split(text)
    for name in names:
        if name not in FORMATS and (name != "none" or len(names) > 1):
            raise unknown("export format", name, (*FORMATS, "none"))
    return tuple(name for name in FORMATS if name in names)


def _split(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def parse_tflite_files(text: str | None, formats: Sequence[str]) -> tuple[str, ...]:
    """Parses names such as ``float32,int8``; None means all files of ``tflite``.

    Args:
        text: the names, separated by commas.
        formats: the formats that are asked for.

    Returns:
        The names in the order of ``TFLITE_FILES``.

    Raises:
        UserError: a name is not a file, or the formats need others.
    """
    if text is None:
        return TFLITE_FILES
    if "tflite" not in formats:
        raise UserError(
            f"--tflite_files is for tflite. Received: --tflite_files={text} with "
            f"--formats={','.join(formats)}. Add it to --formats."
        )
    names = _split(text)
    for name in names or [text]:
        if name not in TFLITE_FILES:
            raise unknown("TFLite file", name, TFLITE_FILES)
    if "web" in formats and (missing := {"float32", "int8"} - set(names)):
        raise UserError(
            f"web needs the files float32 and int8. Received: --tflite_files={text}. "
            f"Add {' and '.join(sorted(missing))}, or leave web out of --formats."
        )
    return tuple(name for name in TFLITE_FILES if name in names)


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
