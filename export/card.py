"""The model card of an export, and the table that is printed after it.

The card, R/export/README.md, is rendered from result.json and export.json. Its text is
in ``templates``: card.md.j2, and one file for each language of the calls. It needs all
keys that a training writes, except for ``test_per_class`` and ``test_macro_recall`` of
result.json and ``brightness`` of config.json.
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

from export import records
from export.formats import DEVICE_OPTIMIZERS, FORMATS
from export.records import Export, Record
from zoo.console import align, format_milliseconds
from zoo.plots.draw import CAPTIONS, TITLES
from zoo.runs.run import Run

TEMPLATES = pathlib.Path(__file__).parent / "templates"


def render(run: Run, export: Export, pictures: Sequence[str] = ()) -> str:
    """Returns the card as Markdown; ``pictures`` are keys of ``draw.TITLES``."""
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
    return environment.get_template("card.md.j2").render(
        result=run.result,
        export=export,
        command=repeating(run.result),
        brightness=run.brightness,
        resize=run.resize,
        shipped=run.is_shipped,
        is_sample=run.is_sample,
        litert=importlib.metadata.version("ai-edge-litert"),
        models=[record for record in export.artifacts if record.input],
        records={record.name: record for record in export.artifacts},
        wilson=lambda right, total: stats.binomtest(right, total).proportion_ci(
            method="wilson"
        ),
        purposes={
            file.name: file.purpose
            for format in FORMATS.values()
            for file in format.files
        },
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


def _tensor(tensor: Mapping[str, Any]) -> str:
    """Describes an input or output of a file."""
    shape = ", ".join("any" if size is None else str(size) for size in tensor["shape"])
    text = f"`{tensor['name']}` {tensor['dtype']} ({shape})"
    if tensor["quantization"]:
        scale, zero_point = tensor["quantization"]
        text += f", scale {scale:g}, zero point {zero_point}"
    return text


def _measured(record: Record) -> tuple[str, ...]:
    """Returns a file's accuracy and agreement, or the largest error of a regression."""
    if record.accuracy is not None:
        return f"{record.accuracy:.2%}", f"{record.agreement:.2%}"
    return (f"{record.max_abs_error:.2g}",)


def summary(run_dir: str | os.PathLike[str]) -> str:
    """Returns a table of the exported files of a run."""
    directory = pathlib.Path(run_dir) / "export"
    export = records.read(directory)
    assert export, "the run has been exported"
    classifier = export.data["num_classes"] is not None
    columns = ("accuracy", "agreement") if classifier else ("largest error",)
    rows, others = [("exported", "bytes", *columns, "ms")], []
    for record in export.artifacts:
        size = f"{record.bytes:,}"
        if record.latency_ms:
            latency = format_milliseconds(record.latency_ms["median"])
            rows.append((record.path, size, *_measured(record), latency))
        else:
            others.append(f"{record.name}: {record.path}, {size} bytes")
    said = f"All verified on {export.tested_on}. {directory}"
    return "\n".join([*align(rows), *others, *map(str, export.left_out), said])
