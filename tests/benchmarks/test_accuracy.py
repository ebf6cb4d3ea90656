"""Tests that the table of results is collected from runs."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest

import zoo
from benchmarks import accuracy
from zoo.commands.list import table
from zoo.records import results
from zoo.training import trainer
from zoo.training.config import Config

KEY = ("linear", "default", "digits")


@pytest.fixture
def run(tmp_path, data_dir, monkeypatch):
    """A run of the second seed, without one of the first seed."""
    monkeypatch.setattr(accuracy, "RUNS", tmp_path)
    directory = accuracy.run_dir(*KEY, 1)
    config = Config(
        model=KEY[0],
        dataset=KEY[2],
        seed=1,
        data_dir=str(data_dir),
        run_dir=str(directory.path),
        tensorboard=False,
    )
    trainer.train(config)
    return directory


def test_a_row_is_of_runs_that_followed_the_recipe_as_it_is(run, monkeypatch):
    row, result = accuracy.collect(*KEY), run.read_result()
    assert row.seeds == 1
    assert (
        row.accuracy
        == row.lowest
        == pytest.approx(result["test"]["accuracy"], abs=1e-6)
    )
    assert (row.parameters, row.artifacts) == (7850, {})
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


@pytest.mark.parametrize("model", zoo.list_models())
def test_the_comments_beside_the_recipes_are_those_of_the_results(model):
    source = (accuracy.MODELS / f"{model}.py").read_text()
    rows = [row for row in results.load() if row.model == model]
    assert accuracy.commented(source, rows) == source
    for row in rows:
        _, mine = source.split(accuracy.comment(row))
        assert re.match(r'(    #.*\n)*    "' + row.recipe, mine)
    assert "CPU" not in accuracy.commented(source, [])


def test_the_table_that_is_saved_is_the_one_that_was_loaded(tmp_path, monkeypatch):
    rows, content = results.load(), results.PATH.read_bytes()
    row = next(row for row in rows if row.model == "mlp")
    shown = rf"mlp +{row.parameters:,} +{row.accuracy:.2%} +{{}} +images"
    size = f"{row.artifacts['int8'].bytes:,}"
    assert re.search(shown.format(size), table())
    monkeypatch.setattr(results, "PATH", tmp_path / "results.csv")
    assert results.load() == []
    assert re.search(r"mlp +235,146 +- +- +images", table())
    rows.append(dataclasses.replace(row, dataset="other", artifacts={}))
    accuracy.save(rows)
    assert results.load() == rows
    assert results.PATH.read_bytes().startswith(content)
