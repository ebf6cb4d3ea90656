"""The model card, R/export/README.md, made from result.json and export.json alone.

Its text is in ``templates``: card.md.j2, and one file for each language that the files
are called from.
"""

from __future__ import annotations

import math
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
from scipy import stats

from export.formats import FORMATS, MOMENTUM, get_format
from export.summary import measured
from zoo.plots.draw import TITLES

TEMPLATES = pathlib.Path(__file__).parent / "templates"


def render(
    result: Mapping[str, Any],
    export: Mapping[str, Any],
    pictures: Sequence[str] = (),
) -> str:
    """Returns the card as Markdown.

    Args:
        result: the content of result.json.
        export: the content of export.json.
        pictures: what there is in ``plots`` beside it, as in ``zoo.plots.draw.TITLES``.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "cell": lambda name: re.sub(r"([\\`*_<>|#\[\]])", r"\\\1", name),
        "commas": "{:,.0f}".format,
        "measured": measured,
        "percent": "{:.2%}".format,
        "product": math.prod,
        "tensor": _tensor,
    }
    files = [file for name in FORMATS for file in get_format(name).files]
    return environment.get_template("card.md.j2").render(
        result=result,
        export=export,
        records={record["name"]: record for record in export["artifacts"]},
        wilson=_wilson,
        purposes={file.name: file.purpose for file in files},
        pictures={name: TITLES[name] for name in pictures},
        momentum=MOMENTUM,
    )


def _wilson(right: int, total: int) -> tuple[float, float]:
    """Returns the 95% interval of an accuracy."""
    return stats.binomtest(right, total).proportion_ci(method="wilson")


def _tensor(tensor: Mapping[str, Any]) -> str:
    """Describes an input or output of a file."""
    shape = ", ".join("any" if size is None else str(size) for size in tensor["shape"])
    text = f"`{tensor['name']}` {tensor['dtype']} ({shape})"
    if tensor["quantization"]:
        scale, zero_point = tensor["quantization"]
        text += f", scale {scale:g}, zero point {zero_point}"
    return text
