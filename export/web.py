"""The web page: a static folder that asks the exported TFLite files in the browser.

Plain HTML, CSS and JavaScript modules of ``export/page``, the files themselves, and
LiteRT.js with its WebAssembly. Nothing is fetched from elsewhere when it is looked at.
"""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

import numpy as np

from export.base import Draft, Format
from export.formats import check_node
from zoo import files
from zoo.errors import RunError, UserError
from zoo.training.outcome import TrainedRun

PAGE = pathlib.Path(__file__).parent / "page"
#: Those that one can choose between, the first at once.
CHOICE = ("int8", "float32")
EXAMPLES = 200
EXAMPLES_BYTES = 8_000_000
_SOURCES = ("index.html", "style.css", "main.js", "model.js", "pad.js", "pixels.js")
# Without threads, which a plain server does not allow: one for browsers with relaxed
# SIMD, one for the others.
_WASM = ("litert_wasm_internal", "litert_wasm_compat_internal")
_NPM_SECONDS = 300


class Web(Format):
    """The page, made of files that the format tflite has written and proved."""

    name = "web"
    needs = ("tflite",)

    def check(self, trained: TrainedRun) -> None:
        """Raises UserError if the run is a regression."""
        if trained.model.num_classes is None:
            raise UserError(
                "web is a page for classifiers of images. Received: "
                f"{trained.run.path}, a regression. Leave it out of --formats."
            )

    def write(self, draft: Draft) -> None:
        """Writes the folder ``web`` beside ``tflite``.

        Raises:
            UserError: there is no Node.
            RunError: npm cannot install LiteRT.js.
        """
        web = draft.directory / "web"
        _copy_sources(web)
        by_name = {record["name"]: record for record in draft.records}
        chosen = [by_name[name] for name in CHOICE]
        for record in chosen:
            shutil.copyfile(draft.directory / record["path"], web / _base(record))
        data, test = draft.data, draft.trained.dataset.test
        size = int(np.prod(data["input_shape"]))
        indices = examples(test.y, draft.trained.outputs, size)
        images = np.stack([test.x[int(i)] for i in indices])
        (web / "examples.bin").write_bytes(images.tobytes())
        content = {
            "model": draft.trained.model.name,
            "dataset": data["name"],
            "classes": list(data["class_names"]),
            "input_shape": list(data["input_shape"]),
            "draw": is_drawn(data),
            "files": [_file(record) for record in chosen],
            "examples": {
                "path": "examples.bin",
                "labels": [int(label) for label in test.y[indices]],
            },
            "litert": _pinned(),
        }
        files.write_json(web / "page.json", content)
        draft.page = {
            "path": "web",
            "format": "web",
            "bytes": files.size(web),
            "sha256": files.checksum(web),
            "litert": _pinned(),
        }


FORMAT = Web()


def _copy_sources(web: pathlib.Path) -> None:
    """Makes the folder with the page's own files and LiteRT.js."""
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
    """Returns node_modules with LiteRT.js of the version in package-lock.json.

    Raises:
        UserError: there is no Node.
        RunError: npm cannot install it.
    """
    check_node(["web"])
    modules = PAGE / "node_modules"
    if _installed(modules) == _pinned():
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
        # As npm 10 and later have it, and as those before.
        marks = ("npm error ", "npm ERR! ")
        said = [line for line in done.stderr.splitlines() if line.startswith(marks)]
        failed = done.returncode != 0
    except subprocess.TimeoutExpired:
        said, failed = [f"no answer in {_NPM_SECONDS} s"], True
    if failed or _installed(modules) != _pinned():
        raise RunError(
            "LiteRT.js cannot be installed by npm: "
            f"{' '.join(said)[:300] or 'no reason'}. Run `npm ci` in {PAGE} where "
            "there is a network."
        )
    return modules


def _pinned() -> str:
    lock = json.loads((PAGE / "package-lock.json").read_text(encoding="utf-8"))
    return lock["packages"]["node_modules/@litertjs/core"]["version"]


def _installed(modules: pathlib.Path) -> str | None:
    package = modules / "@litertjs" / "core" / "package.json"
    wasm = modules / "@litertjs" / "wasm-utils" / "dist" / "index.js"
    if not (package.exists() and wasm.exists()):
        return None
    return json.loads(package.read_text(encoding="utf-8"))["version"]


def is_drawn(data: Mapping[str, Any]) -> bool:
    """Whether the images are digits in MNIST's form, which one can draw."""
    digits = [str(digit) for digit in range(10)]
    shape = list(data["input_shape"])
    return list(data["class_names"]) == digits and shape == [28, 28, 1]


def examples(labels: np.ndarray, reference: np.ndarray, size: int) -> np.ndarray:
    """Chooses test images to look at: mistakes and others, of all classes in turns.

    Args:
        labels: true classes (n,).
        reference: probabilities of the Keras model (n, classes).
        size: bytes of an image.

    Returns:
        Sorted indices: 200, or fewer where images are large or the split is small;
        up to a quarter of them are mistakes, the surest ones.
    """
    count = min(EXAMPLES, len(labels), max(1, EXAMPLES_BYTES // size))
    predicted = reference.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    surest = np.argsort(-reference[wrong].max(axis=1), kind="stable")
    wrong = wrong[surest[: count // 4]]
    right = np.flatnonzero(predicted == labels)
    # The first of each class, the second of each class, ...
    turn = np.zeros(len(right), np.int64)
    for label in np.unique(labels):
        members = labels[right] == label
        turn[members] = np.arange(members.sum())
    right = right[np.lexsort((labels[right], turn))]
    return np.sort(np.concatenate([wrong, right])[:count])


def _base(record: Mapping[str, Any]) -> str:
    return pathlib.PurePosixPath(record["path"]).name


def _file(record: Mapping[str, Any]) -> dict[str, Any]:
    scale, zero_point = record["output"]["quantization"] or (1.0, 0)
    return {
        "name": record["name"],
        "path": _base(record),
        "bytes": record["bytes"],
        "sha256": record["sha256"],
        "accuracy": record["accuracy"],
        "input": record["input"]["dtype"],
        "output": {"scale": scale, "zero_point": zero_point},
    }
