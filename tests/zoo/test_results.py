"""The table of what trainings came to."""

from __future__ import annotations

import csv
import dataclasses

from zoo import catalog, results

RESULT = results.Result(
    model="mlp",
    recipe="default",
    dataset="mnist",
    settings="0123456789ab",
    seeds=3,
    accuracy=0.98762,
    lowest=0.9875,
    highest=0.988,
    parameters=235146,
    seconds=61.5,
    cpus=4,
    artifacts={"int8": results.FileResult(bytes=248976, accuracy=0.9871, ms=0.0123)},
    tensorflow="2.21.0",
    keras="3.15.1",
    date="2026-01-31",
)


def test_what_is_saved_is_loaded(tmp_path):
    path = tmp_path / "results.csv"
    other = dataclasses.replace(RESULT, model="linear", artifacts={})
    results.save([RESULT, other], path)
    assert results.load(path) == [RESULT, other]
    with path.open(newline="") as file:  # one row each, for any other reader
        rows = list(csv.DictReader(file))
    assert [row["model"] for row in rows] == ["mlp", "linear"]
    assert (rows[0]["accuracy"], rows[0]["int8_bytes"]) == ("0.98762", "248976")
    assert rows[1]["int8_bytes"] == rows[0]["float32_ms"] == ""


def test_there_may_be_none_yet(tmp_path):
    assert results.load(tmp_path / "results.csv") == []


def test_the_list_of_models_shows_them(tmp_path, monkeypatch):
    path = tmp_path / "results.csv"
    results.save(
        [dataclasses.replace(RESULT, recipe="best", accuracy=0.5), RESULT], path
    )
    monkeypatch.setattr(results, "PATH", path)
    rows = {
        line.split()[0]: line.split() for line in catalog.table().splitlines() if line
    }
    assert rows["mlp"][:4] == ["mlp", "235,146", "98.76%", "248,976"]
    assert rows["linear"][2:4] == ["-", "-"]
