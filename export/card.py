"""What is told of an export: the model card, and the table at its end.

The card, R/export/README.md, is made from result.json and export.json alone. Its text
is in ``templates``: card.md.j2, and one file for each language that calls the files.
"""

from __future__ import annotations

import math
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
from scipy import stats

from export.formats import DEVICE_OPTIMIZERS, FORMATS, get_format
from zoo.console import align
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
        "measured": _measured,
        "percent": "{:.2%}".format,
        "product": math.prod,
        "tensor": _tensor,
    }
    files = [file for name in FORMATS for file in get_format(name).files]
    return environment.get_template("card.md.j2").render(
        result=result,
        export=export,
        records={record["name"]: record for record in export["artifacts"]},
        wilson=lambda right, total: stats.binomtest(right, total).proportion_ci(
            method="wilson"
        ),
        purposes={file.name: file.purpose for file in files},
        pictures={name: TITLES[name] for name in pictures},
        momentum=DEVICE_OPTIMIZERS["momentum"],
    )


def _tensor(tensor: Mapping[str, Any]) -> str:
    """Describes an input or output of a file."""
    shape = ", ".join("any" if size is None else str(size) for size in tensor["shape"])
    text = f"`{tensor['name']}` {tensor['dtype']} ({shape})"
    if tensor["quantization"]:
        scale, zero_point = tensor["quantization"]
        text += f", scale {scale:g}, zero point {zero_point}"
    return text


def _measured(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns a file's accuracy and agreement, or the largest error of a regression."""
    if "accuracy" in record:
        return f"{record['accuracy']:.2%}", f"{record['agreement']:.2%}"
    return (f"{record['max_abs_error']:.2g}",)


def summary(export: Mapping[str, Any], run_dir: str | os.PathLike[str]) -> str:
    """Returns a table of the files that export.json, ``export``, tells of."""
    classifier = export["data"]["num_classes"] is not None
    columns = ("accuracy", "agreement") if classifier else ("largest error",)
    rows = [("exported", "bytes", *columns, "ms")]
    for record in export["artifacts"]:
        latency = f"{record['latency_ms']['median']:.2f}"
        size = f"{record['bytes']:,}"
        rows.append((record["path"], size, *_measured(record), latency))
    lines = align(rows)
    lines += [f"left out: {name}: {why}" for name, why in export["left_out"].items()]
    if page := export.get("page"):
        lines.append(f"page: {page['path']}, {page['bytes']:,} bytes")
    lines.append(f"All verified on the test split. {pathlib.Path(run_dir) / 'export'}")
    return "\n".join(lines)
