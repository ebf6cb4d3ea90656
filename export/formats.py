"""The export formats: their files, the bounds of these files, and their options.

A format is an entry of ``FORMATS`` and a module with a function

    export(run, directory, **options) -> dict[str, dict]

that writes the format's files for a finished run below a directory. It returns further
fields of the files' records in export.json, by the names of the written files. The
exporter then verifies these files and moves them to their places, except for a file
that misses its bounds. A format that verifies a file itself returns what it found as
the list ``problems``; if that is not empty, the file is left out as well.
"""

from __future__ import annotations

import dataclasses
import importlib
import pathlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zoo.errors import UserError, unknown

if TYPE_CHECKING:
    from zoo.runs.run import Run


@dataclasses.dataclass(frozen=True)
class Bound:
    """How far a file may differ from the Keras model. None disables a bound.

    Attributes:
        max_abs_error: largest difference of any probability, or of y.
        same_top1: every example must get the same class, except for ties within
            ``max_abs_error``.
        accuracy_drop: percentage points of test accuracy that may be lost. On a small
            test split, the verification adds what chance explains. An architecture can
            set another one for a recipe.
    """

    max_abs_error: float | None = None
    same_top1: bool = False
    accuracy_drop: float | None = None


EXACT = Bound(max_abs_error=1e-4, same_top1=True)
FLOAT16 = Bound(max_abs_error=1e-2)
TENTH = Bound(accuracy_drop=0.1)
INT8 = Bound(accuracy_drop=0.3)


@dataclasses.dataclass(frozen=True)
class FileSpec:
    """A file that a format can write.

    Attributes:
        name: name in export.json.
        path: path in the export directory. It may be a directory itself, like that of a
            SavedModel.
        purpose: purpose of the file for the model card.
        bound: bounds for a classifier; None if the file is no model that could run.
        regression: bounds for a regression; None if a regression has no such file.
        integer: whether input and output are uint8, without any float tensor.
        threads: whether to verify the file with several threads as well as with one.
        examples: number of test examples to verify the file on; None for all of them.
    """

    name: str
    path: str
    purpose: str
    bound: Bound | None = None
    regression: Bound | None = None
    integer: bool = False
    threads: bool = True
    examples: int | None = None

    def suits(self, run: Run) -> bool:
        """Whether the run can have such a file."""
        return self.regression is not None or run.model.num_classes is not None


@dataclasses.dataclass(frozen=True)
class Option:
    """An option of a format: a keyword of its ``export``, and a flag of the command.

    Attributes:
        help: what the flag says in --help.
        parse: function that returns the value of the option, and raises UserError if it
            is invalid. It gets what a user passed, which is text on the command line,
            or None if the option was not given.
    """

    help: str
    parse: Callable[[Any], Any]


@dataclasses.dataclass(frozen=True)
class Format:
    """An export format.

    Attributes:
        name: name in --formats.
        module: module with the function ``export``. It is imported late, because most
            of these modules import TensorFlow.
        files: files of the format, in the order of the model card.
        options: options of ``export`` by name.
        needs: formats whose files this one uses. All earlier records are passed on to
            ``export`` as ``others``, by name.
        check: function that raises UserError if the machine cannot export to it.
    """

    name: str
    module: str
    files: tuple[FileSpec, ...]
    options: Mapping[str, Option] = dataclasses.field(default_factory=dict)
    needs: tuple[str, ...] = ()
    check: Callable[[], None] = lambda: None

    def export(
        self, run: Run, directory: pathlib.Path, **options: Any
    ) -> dict[str, dict[str, Any]]:
        """Writes the files, see the module."""
        return importlib.import_module(self.module).export(run, directory, **options)


def _tflite(name: str, *about: Any, **options: Any) -> FileSpec:
    return FileSpec(name, f"tflite/model_{name}.tflite", *about, **options)


_TFLITE = (
    _tflite("float32", "browsers and comparisons", EXACT, EXACT),
    _tflite("float16", "GPUs, half the size", FLOAT16, FLOAT16),
    _tflite("dynamic", "CPUs, with float inputs", TENTH, FLOAT16),
    _tflite("int8", "phones and integer hardware", INT8, integer=True),
    # Kernels for 16-bit activations are slow, with one thread only: a whole test split
    # takes minutes.
    _tflite("int16x8", "16-bit accelerators", TENTH, threads=False, examples=1000),
)
#: The names of the files of ``tflite``.
TFLITE_FILES = tuple(file.name for file in _TFLITE)

#: The optimizers of ``tflite_trainable`` and their momentum.
DEVICE_OPTIMIZERS = {"sgd": 0.0, "momentum": 0.9}


def _parse_tflite_files(text: str | None) -> tuple[str, ...] | None:
    """Parses names such as ``float32,int8``; None means those of the architecture."""
    if text is None:
        return None
    names = _split(text)
    for name in names or [text]:
        if name not in TFLITE_FILES:
            raise unknown("TFLite file", name, TFLITE_FILES)
    return tuple(name for name in TFLITE_FILES if name in names)


def _check_train_batch(size: int | str | None) -> int:
    size = 16 if size is None else size
    if isinstance(size, str) and size.isdecimal():
        size = int(size)
    if not isinstance(size, int) or not 1 <= size <= 1024:
        raise UserError(
            f"--train_batch must be a whole number, 1 to 1024. Received: {size}."
        )
    return size


def _check_device_optimizer(name: str | None) -> str:
    name = "sgd" if name is None else name
    if name not in DEVICE_OPTIMIZERS:
        raise UserError(
            f"--device_optimizer must be {' or '.join(DEVICE_OPTIMIZERS)}. Received: "
            f"{name or 'nothing'}."
        )
    return name


def _check_node() -> None:
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    if missing:
        raise UserError(
            "The format web needs Node.js with npm. Not found: "
            f"{', '.join(missing)}. Install it (apt-get install nodejs npm, or "
            "nodejs.org), or leave web out."
        )


_FORMATS = (
    Format(
        "saved_model",
        "export.saved_model",
        (FileSpec("saved_model", "saved_model/1", "servers", EXACT, EXACT),),
    ),
    Format(
        "tflite",
        "export.tflite",
        _TFLITE,
        options={
            "tflite_files": Option(
                "The files of tflite, comma-separated: "
                f"{', '.join(TFLITE_FILES)}. Unset: all, unless the architecture "
                "names those that suit it.",
                _parse_tflite_files,
            )
        },
    ),
    Format(
        "tflite_trainable",
        "export.ondevice.trainable",
        # It packs its weights again for every example, so threads would take minutes.
        (_tflite("trainable", "learning on the device", EXACT, threads=False),),
        options={
            "train_batch": Option(
                "Examples in a training step of tflite_trainable. Unset: 16.",
                _check_train_batch,
            ),
            "device_optimizer": Option(
                "The optimizer of tflite_trainable: sgd or momentum. Unset: sgd.",
                _check_device_optimizer,
            ),
        },
    ),
    Format(
        "web",
        "export.web",
        (FileSpec("page", "web", "a page that runs int8 or float32"),),
        needs=("tflite",),
        check=_check_node,
    ),
)
#: The formats by name, in the order in which they are exported.
FORMATS = {format.name: format for format in _FORMATS}
#: They exclude tflite_trainable, because verifying it takes as long as all others
#: together, and web, because it needs Node.
DEFAULT_FORMATS = ("saved_model", "tflite")


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


def check_request(
    formats: Sequence[str], options: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Checks the arguments of an export before any work is done.

    Args:
        formats: names in ``FORMATS``.
        options: options of the formats by name; None for the default.

    Returns:
        The options of each format, in the order of ``FORMATS``.
    """
    asked = parse_formats(",".join(formats))
    if not asked:
        raise UserError(f"--formats names no format. Known: {', '.join(FORMATS)}.")
    owners = {name: format for format in FORMATS.values() for name in format.options}
    for name, value in options.items():
        if name not in owners:
            raise TypeError(f"No format has the option {name!r}. Known: {[*owners]}.")
        if value is not None and owners[name].name not in asked:
            raise UserError(
                f"--{name} is for {owners[name].name}. Received: --{name}={value} with "
                f"--formats={','.join(asked)}. Add it to --formats."
            )
    for name in asked:
        FORMATS[name].check()
    return {
        name: {
            key: option.parse(options.get(key))
            for key, option in FORMATS[name].options.items()
        }
        for name in asked
    }
