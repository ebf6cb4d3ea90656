"""The documents say what is so."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

import zoo
from benchmarks import document, exports, personalize
from export.formats import FORMATS
from tests.conftest import ROOT
from zoo.errors import UserError

README = (ROOT / "README.md").read_text()
BUILD = (ROOT / "BUILD.md").read_text()


def test_the_readme_names_every_model_and_recipe():
    for model in zoo.list_models():
        (row,) = re.findall(rf"^\| `{model}` \|.*$", README, re.MULTILINE)
        for recipe in zoo.list_recipes(model):
            assert f"`{recipe}`" in row


def test_paths_and_modules_that_are_named_exist():
    text = README + BUILD
    for path in re.findall(r"`((?:zoo|export|tests|benchmarks)/[\w./]+)`", text):
        if path != "zoo/models/tiny.py":
            assert (ROOT / path).exists(), path
    for module in re.findall(r"python -m ((?:zoo|export|benchmarks)[\w.]*)", text):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists()
    for format_name in FORMATS:
        assert format_name in BUILD


def test_every_flag_that_is_named_exists():
    flags = set(
        re.findall(r"DEFINE_\w+\(\s*\"(\w+)\"", (ROOT / "train.py").read_text())
    )
    for module in ("zoo", "export"):
        source = (ROOT / module / "__main__.py").read_text()
        flags |= set(re.findall(r"DEFINE_\w+\(\s*\"(\w+)\"", source))
    ours = re.sub(r"tensorflow_model_server.*\n.*", "", README + BUILD)
    named = set(re.findall(r"[ `(]--(\w+)", ours)) - {"help"}
    assert named <= flags, named - flags


def test_the_tables_of_personalize_are_those_of_its_results():
    results = json.loads(personalize.RESULTS.read_text())
    assert personalize.table(results) in BUILD
    assert personalize.zero_table(results) in BUILD
    rows = {row["examples"]: row["device"] for row in results["runs"][0]["rows"]}
    after = np.mean([one["digits"] for one in rows[1000]])
    assert f"| {100 * after:.2f}% |" in personalize.table(results)


def test_a_table_is_written_between_its_markers(tmp_path):
    path = tmp_path / "a.md"
    path.write_text("before\n<!-- t -->\nold\n<!-- /t -->\nafter\n")
    record = {
        "path": "tflite/model_int8.tflite",
        "bytes": 1234567,
        "accuracy": 0.98765,
        "accuracy_drop": 0.05,
        "latency_ms": {"median": 0.123},
    }
    text = exports.table([{"model": "mlp", "artifacts": [record]}])
    document.rewrite(path, "t", text)
    written = path.read_text()
    assert "old" not in written
    assert written.startswith("before\n<!-- t -->\n| model |")
    assert written.endswith("<!-- /t -->\nafter\n")
    row = "`tflite/model_int8.tflite` | 1,234,567 | 98.77% | +0.05 points | 0.12 |"
    assert f"| mlp | {row}" in written
    with pytest.raises(UserError, match="has no markers <!-- u -->"):
        document.rewrite(path, "u", text)
