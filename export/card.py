"""The model card of an export, and the table that is printed after it.

The card, R/export/README.md, is rendered from result.json and export.json. Its text is
in ``templates``: card.md.j2, and one file for each language of the calls.
"""

from __future__ import annotations

import importlib.metadata
import math
import os
import pathlib
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
from scipy import stats

from export.formats import DEVICE_OPTIMIZERS, FORMATS, get_format
from zoo.console import align, format_milliseconds
from zoo.plots.draw import CAPTIONS, TITLES

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
        pictures: names of the pictures in ``plots`` beside it, keys of
            ``zoo.plots.draw.TITLES``.
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
        "milliseconds": format_milliseconds,
        "percent": "{:.2%}".format,
        "product": math.prod,
        "tensor": _tensor,
    }
    files = [file for name in FORMATS for file in get_format(name).files]
    brightness = export["brightness"]
    return environment.get_template("card.md.j2").render(
        result=result,
        export=export,
        command=repeating(result),
        recalls=_recalls(result, export),
        macro_recall=result.get("test_macro_recall"),
        brightness=brightness,
        polarity=_polarity(brightness, export["data"]["input_shape"]),
        litert=importlib.metadata.version("ai-edge-litert"),
        records={record["name"]: record for record in export["artifacts"]},
        wilson=lambda right, total: stats.binomtest(right, total).proportion_ci(
            method="wilson"
        ),
        purposes={file.name: file.purpose for file in files},
        pictures={name: TITLES[name] for name in pictures},
        captions=CAPTIONS,
        momentum=DEVICE_OPTIMIZERS["momentum"],
    )


def repeating(result: Mapping[str, Any]) -> str:
    """Returns the command that repeats a run.

    If another dataset took the place of the default, the command names it.
    """
    words = shlex.split(result["command"])
    if words[1:2] == ["__main__.py"]:
        words[1:2] = ["-m", "zoo"]
    elif words[1:2] == ["zoo"]:
        del words[0]
    if result.get("dataset_reason"):
        words.append(f"--dataset={result['dataset']}")
    return shlex.join(words)


def _recalls(
    result: Mapping[str, Any], export: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
    """Returns name, recall and number of test examples of each class."""
    if "test_per_class" in result:
        return result["test_per_class"]
    # A run of an older version.
    return [
        {"name": name, "recall": right / count, "count": count}
        for name, right, count in export["per_class"]
    ]


def _polarity(brightness: Mapping[str, float] | None, shape: Sequence[int]) -> str:
    """Says which images to invert if nearly all training images are dark, or light.

    Args:
        brightness: ``Split.brightness`` of the training images.
        shape: shape of an input; only gray images are inverted.
    """
    if brightness is None or shape[-1] != 1:
        return ""
    if brightness["highest"] < 128:
        return (
            ": light on a dark ground. Invert images of dark ink on light paper first"
        )
    if brightness["lowest"] > 127:
        return (
            ": dark on a light ground. Invert images of light ink on dark ground first"
        )
    return ""


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
    """Returns a table of the exported files.

    Args:
        export: the content of export.json.
        run_dir: the directory of the run, for the last line.
    """
    classifier = export["data"]["num_classes"] is not None
    columns = ("accuracy", "agreement") if classifier else ("largest error",)
    rows = [("exported", "bytes", *columns, "ms")]
    for record in export["artifacts"]:
        latency = format_milliseconds(record["latency_ms"]["median"])
        size = f"{record['bytes']:,}"
        rows.append((record["path"], size, *_measured(record), latency))
    lines = align(rows)
    lines += [f"left out: {name}: {why}" for name, why in export["left_out"].items()]
    if page := export.get("page"):
        lines.append(f"page: {page['path']}, {page['bytes']:,} bytes")
    tested_on = export.get("tested_on", "the whole test split")
    lines.append(f"All verified on {tested_on}. {pathlib.Path(run_dir) / 'export'}")
    return "\n".join(lines)
