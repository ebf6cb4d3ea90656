"""The web page: a static folder that runs the exported TFLite files in the browser.

It holds the HTML, CSS and JavaScript of ``export/page``, the files themselves, and
LiteRT.js with its WebAssembly. The page fetches nothing from other hosts.
"""

from __future__ import annotations

import json
import math
import pathlib
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

import numpy as np

from export.formats import FORMATS
from export.records import Record
from zoo import files
from zoo.errors import RunError
from zoo.runs import scoring
from zoo.runs.run import Run

PAGE = pathlib.Path(__file__).parent / "page"
DIGITS = [str(digit) for digit in range(10)]
#: The files that the page offers if they are there; it opens with the first.
CHOICE = ("int8", "float32")
EXAMPLES = 200
EXAMPLES_BYTES = 8_000_000
_SOURCES = ("index.html", "style.css", "main.js", "model.js", "pad.js", "pixels.js")
# Builds without threads, because threads need headers that a plain server does not
# send. One build is for browsers with relaxed SIMD, the other one for all others.
_WASM = ("litert_wasm_internal", "litert_wasm_compat_internal")
_NPM_SECONDS = 300


def export(
    run: Run, directory: pathlib.Path, *, others: Mapping[str, Record]
) -> dict[str, dict[str, Any]]:
    """Writes the folder; the files that it offers come from other formats."""
    (page,) = FORMATS["web"].files
    offered = [others[name] for name in CHOICE if name in others]
    if not offered:
        return {page.name: {"problems": [f"it needs {' or '.join(CHOICE)} of tflite"]}}
    web = directory / page.path
    _copy_sources(web)
    data, test = run.config["data"], run.dataset.test
    shape, classes = list(data["input_shape"]), list(data["class_names"])
    listed = []
    for record in offered:
        assert record.input and record.output
        path = directory / record.path  # if it is exported together with the page
        source = path if path.exists() else run.run.export / record.path
        shutil.copyfile(source, web / path.name)
        scale, zero_point = record.output["quantization"] or (1.0, 0)
        listed.append(
            {
                "name": record.name,
                "path": path.name,
                "bytes": record.bytes,
                "sha256": record.sha256,
                "accuracy": record.accuracy,
                "input": record.input["dtype"],
                "output": {"scale": scale, "zero_point": zero_point},
            }
        )
    indices = examples(test.y, run.outputs, math.prod(shape))
    images = np.stack([test.x[int(i)] for i in indices])
    (web / "examples.bin").write_bytes(images.tobytes())
    content = {
        "model": run.model.name,
        "dataset": data["name"],
        "classes": classes,
        "input_shape": shape,
        "resize": run.resize,
        # Drawing needs digits in MNIST's format.
        "draw": classes == DIGITS and shape == [28, 28, 1],
        "files": listed,
        "examples": {"path": "examples.bin", "labels": test.y[indices].tolist()},
    }
    files.write_json(web / "page.json", content)
    return {page.name: {"litert": _version(PAGE / "package-lock.json")}}


def _copy_sources(web: pathlib.Path) -> None:
    """Creates the folder with the page's own files and LiteRT.js."""
    litert = packages() / "@litertjs"
    copies = {name: PAGE / name for name in _SOURCES} | {
        "litert/LICENSE.txt": PAGE / "LICENSE-litert.txt",
        "litert/core.js": litert / "core" / "dist" / "index.js",
        "litert/wasm-utils.js": litert / "wasm-utils" / "dist" / "index.js",
    }
    for name in _WASM:
        for file in (f"{name}.js", f"{name}.wasm"):
            copies[f"litert/wasm/{file}"] = litert / "core" / "wasm" / file
    (web / "litert" / "wasm").mkdir(parents=True)
    for name, source in copies.items():
        shutil.copyfile(source, web / name)


def packages() -> pathlib.Path:
    """Returns node_modules with the LiteRT.js version of package-lock.json."""
    modules, wanted = PAGE / "node_modules", _version(PAGE / "package-lock.json")
    installed = modules / ".package-lock.json"  # npm writes it last
    if _version(installed) == wanted:
        return modules
    options = ("--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund")
    try:
        done = subprocess.run(
            ["npm", "ci", *options],
            cwd=PAGE,
            capture_output=True,
            text=True,
            timeout=_NPM_SECONDS,
        )
        # The first is that of npm 10 and later, the second that of earlier versions.
        marks = ("npm error ", "npm ERR! ")
        said = [line for line in done.stderr.splitlines() if line.startswith(marks)]
    except subprocess.TimeoutExpired:
        said = [f"no answer in {_NPM_SECONDS} s"]
    if _version(installed) != wanted:
        raise RunError(
            "LiteRT.js cannot be installed by npm: "
            f"{' '.join(said)[:300] or 'no reason'}. Run `npm ci` in {PAGE} where "
            "there is a network."
        )
    return modules


def _version(lock: pathlib.Path) -> str | None:
    """Reads the version of LiteRT.js in a lock file of npm; None if it is missing."""
    if not lock.exists():
        return None
    locked = json.loads(lock.read_text(encoding="utf-8"))["packages"]
    return locked["node_modules/@litertjs/core"]["version"]


def examples(labels: np.ndarray, reference: np.ndarray, size: int) -> np.ndarray:
    """Chooses test images to show: the surest mistakes, and others evenly spaced.

    Returns 200 sorted indices, or fewer if images of this size in bytes are large or
    the split is small. Up to a quarter of them are mistakes.
    """
    count = min(EXAMPLES, len(labels), max(1, EXAMPLES_BYTES // size))
    correct = scoring.correct(reference, labels)
    wrong = np.flatnonzero(~correct)
    surest = np.argsort(-reference[wrong].max(axis=1), kind="stable")
    wrong = wrong[surest[: count // 4]]
    right = np.flatnonzero(correct)
    rest = min(count - len(wrong), len(right))
    spaced = np.linspace(0, len(right) - 1, rest).astype(int)
    return np.sort(np.concatenate([wrong, right[spaced]]))
