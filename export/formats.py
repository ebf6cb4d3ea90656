"""The names of the formats that a run can be exported to."""

from __future__ import annotations

from zoo.errors import unknown

FORMATS = ("saved_model", "tflite")
DEFAULT_FORMATS = ("saved_model", "tflite")


def parse_formats(text: str) -> tuple[str, ...]:
    """Reads ``saved_model,tflite``, or ``none``, in the order of ``FORMATS``.

    Raises:
        UserError: a name that is not a format.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in FORMATS and (name != "none" or len(names) > 1):
            raise unknown("export format", name, (*FORMATS, "none"))
    return tuple(name for name in FORMATS if name in names)
