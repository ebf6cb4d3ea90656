"""Tests the splits, the stored measurements and the tables of ways to train."""

from __future__ import annotations

import json

import numpy as np
import pytest

import zoo
from benchmarks import data, document, photographs
from benchmarks.contestants import keras_guide
from export.records import Export, LeftOut
from zoo.errors import RunError, UserError
from zoo.records.rundir import RunDir


@pytest.fixture
def trash(tmp_path, monkeypatch):
    """Creates ten files in each of two classes; the runs go beside them."""
    for name in ("glass", "metal"):
        folder = tmp_path / "trash" / name
        folder.mkdir(parents=True)
        for number in range(10):
            (folder / f"{number}.JPG").write_bytes(b"photograph")
    (tmp_path / "trash" / "empty").mkdir()
    monkeypatch.setenv("TRASH_DIR", str(tmp_path / "trash"))
    monkeypatch.setattr(photographs, "RUNS", tmp_path / "runs")
    return tmp_path / "trash"


def names(tree, part):
    return {str(path.relative_to(tree / part)) for path in (tree / part).glob("*/*")}


def test_each_seed_has_a_split_of_its_own_with_a_fifth_of_each_class(trash):
    trees = [photographs.split(seed) for seed in (0, 1)]
    tests = [names(tree, "test") for tree in trees]
    for tree, test in zip(trees, tests, strict=True):
        assert [sum(name.startswith(c) for name in test) for c in "gm"] == [2, 2]
        assert not test & names(tree, "train")
        assert len(test | names(tree, "train")) == 20
    assert tests[0] != tests[1]
    assert names(photographs.split(0), "test") == tests[0]


@pytest.mark.parametrize("given", [None, "/nowhere"])
def test_photographs_that_are_missing_are_explained(given, monkeypatch):
    monkeypatch.delenv("TRASH_DIR", raising=False)
    if given:
        monkeypatch.setenv("TRASH_DIR", given)
    with pytest.raises(UserError, match="TRASH_DIR must be .* Received: (nothi|/nowh)"):
        data.trash_directory()


@pytest.fixture
def processes(trash, monkeypatch):
    """Lets each process take a second more per seed; returns the ways that ran."""
    ran = []

    def found(way, seed):
        ran.append((way, seed))
        return {
            "accuracy": 0.9 + seed / 100,
            "seconds": 20.0 + seed,
            "seconds_to_result": 10.0 + seed,
            "files": [
                {
                    "file": "tflite/model_int8.tflite",
                    "bytes": 1234567,
                    "accuracy": 0.9,
                    "milliseconds": 1.5,
                },
                {
                    "file": "saved_model/1",
                    "bytes": 2,
                    "accuracy": 0.9,
                    "milliseconds": None,
                },
            ],
            "left_out": ["int16x8 was left out."] if way == "cifar10" else [],
        }

    def guide(seed, tree):
        ran.append(("keras", seed))
        one = {"accuracy": 0.85, "seconds": 40.0, "seconds_to_result": 40.0}
        return dict.fromkeys(photographs.GUIDE, one)

    monkeypatch.setattr(photographs, "SEEDS", {"scratch": 1})
    monkeypatch.setattr(photographs, "train", lambda way, seed, _: found(way, seed))
    monkeypatch.setattr(photographs, "follow_guide", guide)
    return ran


def test_ways_take_turns_and_stored_measurements_are_kept(processes):
    result = photographs.measure(2)
    turns = [*photographs.TURNS]
    assert turns[:5] == ["scratch", "cifar10", "keras", "frozen", "tuned"]
    later = [(way, 1) for way in reversed(turns[1:])]
    assert processes == [(way, 0) for way in turns] + later
    assert photographs.measure(2) | {"machine": 0} == result | {"machine": 0}
    assert len(processes) == 2 * len(turns) - 1
    photographs.stored("keras tuned", 1).unlink()
    photographs.measure(2)
    assert processes[2 * len(turns) - 1 :] == [("keras", 1)]


def test_the_tables_compare_the_zoo_with_keras(processes):
    result = photographs.measure(2)
    assert result["ways"]["scratch"]["seeds"] == 1
    assert result["ways"]["tuned"] == {
        "seeds": 2,
        "accuracy": 0.905,
        "lowest": 0.9,
        "highest": 0.91,
        "seconds": 20.5,
        "seconds_to_result": 10.5,
    }
    assert result["beside_keras"]["tuned"] == {
        "seconds": 0.512,
        "seconds_to_result": 0.263,
        "points_more": 5.5,
    }
    texts = photographs.tables(json.loads(json.dumps(result)))
    assert all(document.where(marker) for marker in texts)
    name = "`train.py --model=efficientnet_lite`"
    assert f"| {name} | 90.5% (90.0 to 91.0) | 20 |\n" in texts["own photographs"]
    detailed = texts["own photographs in detail"]
    assert f"| {name} | 2 | 90.5% | 90.0 to 91.0 | 10 | 20 |\n" in detailed
    assert f"| {name} | Keras's guide, then all layers | 0.26 | 0.51 |" in detailed
    files = texts["files of photographs"]
    assert "| `tflite/model_int8.tflite` | 1,234,567 | 90.00% | 1.50 |\n" in files
    assert "| `saved_model/1` | 2 | 90.00% |  |\n" in files
    assert files.endswith(
        "\n\n- `cifar10, seed 0`: int16x8 was left out.\n"
        "- `cifar10, seed 1`: int16x8 was left out.\n"
    )


def test_the_guide_has_the_layers_of_the_zoo():
    shape = (32, 32, 3)
    ours = zoo.create_model(
        "efficientnet_lite", input_shape=shape, num_classes=2, features=True
    )
    model = keras_guide.classifier(keras_guide.network(32), 2)
    rng = np.random.default_rng(0)
    weights = [rng.uniform(0.5, 1.0, w.shape) / 9 for w in ours.get_weights()]
    ours.set_weights(weights)
    head = model.get_weights()[-2:]
    model.set_weights([*weights, *head])
    images = rng.integers(0, 256, (2, *shape), np.uint8)
    wanted = ours(images).numpy() @ head[0] + head[1]
    np.testing.assert_allclose(model(images).numpy(), wanted, rtol=1e-3, atol=1e-4)


def test_a_file_that_is_left_out_is_a_result_and_another_failure_is_not(
    trash, monkeypatch
):
    left_out = LeftOut("int8", "tflite", "tflite/model_int8.tflite", "it differs")

    def run_python(*command, **options):
        run = RunDir(photographs.RUNS / "seed0" / "tuned")
        run.export.mkdir(parents=True)
        Export("m", "0", "d", {}, "all", None, [], found).write(run.export)
        run.result.write_text("{}")
        raise RunError("Failed")

    monkeypatch.setattr(photographs, "run_python", run_python)
    result = {"test": {"accuracy": 0.5}}
    monkeypatch.setattr(RunDir, "read_result", lambda run: result)
    found = [left_out]
    measured = photographs.train("tuned", 0, trash)
    assert measured["left_out"] == [str(left_out)]
    assert 0 <= measured["seconds_to_result"] <= measured["seconds"]
    found = []
    with pytest.raises(RunError, match="Failed"):
        photographs.train("tuned", 0, trash)
