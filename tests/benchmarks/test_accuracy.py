"""Tests that the table of results is collected from runs."""

from __future__ import annotations

import dataclasses
import json

import pytest

import zoo
from benchmarks import accuracy
from tests.conftest import train_run
from zoo.records import results

KEY = ("linear", "default", "digits")


@pytest.fixture
def run(tmp_path, data_dir, monkeypatch):
    """A run of the second seed, without one of the first seed."""
    monkeypatch.setattr(accuracy, "RUNS", tmp_path)
    directory = accuracy.run_dir(*KEY, 1)
    train_run(directory.path, data_dir, KEY[0], KEY[2])
    # train_run trains for fewer epochs than the recipe says.
    content = directory.read_config()
    content["identity"]["settings"] = zoo.get_recipe(KEY[0]).to_json()
    directory.config.write_text(json.dumps(content))
    return directory


def test_a_row_is_of_runs_that_followed_the_recipe_as_it_is(run, monkeypatch):
    row, result = accuracy.collect(*KEY), run.read_result()
    assert (row.seeds, row.parameters, row.artifacts) == (1, 7850, {})
    assert row.accuracy == pytest.approx(result["test"]["accuracy"], abs=1e-6)
    assert row.accuracy == row.lowest == row.highest
    assert row.settings == accuracy.current(*KEY)

    content = run.read_config()
    content["identity"]["settings"]["learning_rate"] *= 2
    kept = run.config.read_text()
    run.config.write_text(json.dumps(content))
    assert accuracy.collect(*KEY) is None
    run.config.write_text(kept)
    assert accuracy.collect(*KEY) == row

    # The same recipe, but another architecture.
    create = zoo.create_model

    def changed(name, *, recipe, **options):
        other = {**recipe.model, "scale": 0.5}
        return create(name, recipe=dataclasses.replace(recipe, model=other), **options)

    monkeypatch.setattr(zoo, "create_model", changed)
    assert accuracy.collect(*KEY) is None


def test_the_table_that_is_saved_is_the_one_that_was_loaded(tmp_path, monkeypatch):
    rows, content = results.load(), results.PATH.read_bytes()
    monkeypatch.setattr(results, "PATH", tmp_path / "results.csv")
    rows.append(dataclasses.replace(rows[0], dataset="other", artifacts={}))
    accuracy.save(rows)
    assert results.load() == rows
    assert results.PATH.read_bytes().startswith(content)


@pytest.mark.parametrize("row", results.load(), ids=lambda r: f"{r.model}-{r.recipe}")
def test_a_result_is_of_the_recipe_as_it_is(row):
    assert row.settings == accuracy.current(row.model, row.recipe, row.dataset)
