"""Tests the advice before a training, about data, batch, steps and size."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.zoo.data.written import class_tree, pixels, save
from zoo.errors import UserError
from zoo.runs.run import open_run
from zoo.training import trainer


@pytest.fixture
def tree(tmp_path):
    """Classes of 30 and 10 images, with ignored files and a damaged one."""
    root = tmp_path / "tree"
    class_tree(root, ["cat"], count=30)
    class_tree(root, ["dog"], count=10)
    (root / "cat/notes.txt").write_text("x")
    (root / "dog/a.heic").write_text("x")
    (root / "dog/3.png").write_bytes(b"")
    return root


def test_a_small_tree_is_trained_with_all_that_is_said_of_it(config, tree, capsys):
    fields = {"dataset": str(tree), "skip_damaged": True, "class_weights": "balanced"}
    overrides = {"epochs": 2, "steps_per_execution": 1}
    asked = dataclasses.replace(config("linear", **fields), overrides=overrides)
    trained = trainer.train(asked)
    said = capsys.readouterr()
    assert said.out.startswith(
        "For 31 training images the batch is 16 instead of 128 and the learning rate "
        "0.0125 instead of 0.1.\n"
    )
    ignored, damaged, steps = said.err.splitlines()
    assert f"Ignored in {tree}: 1 .txt file, 1 .heic file, such as" in ignored
    assert f"{tree}/dog/3.png is empty" in damaged
    assert "--epochs=2 gives 2 steps" in steps
    assert steps.endswith("Leave out --epochs to get longer epochs.")
    content = trained.config
    assert content["fitted_to_few_examples"] == {
        "batch_size": [128, 16],
        "learning_rate": [0.1, 0.0125],
    }
    assert content["identity"]["settings"]["batch_size"] == 16
    rows = trained.result["test_per_class"]
    assert [(row["name"], row["count"]) for row in rows] == [("cat", 6), ("dog", 2)]
    mean = np.mean([row["recall"] for row in rows])
    assert trained.result["test_macro_recall"] == pytest.approx(mean)
    # The same run again gives no advice.
    assert trainer.train(asked).done_before
    assert capsys.readouterr().err == ""
    assert open_run(trained.run.path).dataset.spec.num_train == 31
    with pytest.raises(UserError, match="class_weights: balanced -> none"):
        trainer.train(dataclasses.replace(asked, class_weights="none"))


def test_class_weights_change_the_loss_in_the_same_way_on_several_devices(
    config, tmp_path
):
    def loss(class_weights, strategy):
        fields = {"class_weights": class_weights, "strategy": strategy}
        path = tmp_path / f"{class_weights}-{strategy}"
        asked = config("linear", run_dir=str(path), **fields)
        return trainer.train(asked).result["train"]["loss"]

    weighted = loss("balanced", "one")
    assert loss("none", "one") != pytest.approx(weighted, rel=1e-4)
    assert loss("balanced", "mirrored") == pytest.approx(weighted, rel=1e-4)


def test_class_weights_need_classes(config):
    with pytest.raises(UserError, match="--class_weights is for datasets with classes"):
        trainer.train(
            config("linear", dataset="linear_regression", class_weights="balanced")
        )


@pytest.mark.parametrize("recipe", ["default", "finetune"])
def test_pretrained_weights_get_a_hint_at_the_recipe_for_them(config, recipe, capsys):
    overrides = {"epochs": 1, "steps_per_epoch": 1, "model": {"filters": [4] * 5}}
    weights = trainer.train(config("allconv", overrides=overrides)).run.path
    run_dir = f"{weights}-2"
    fields = {"recipe": recipe, "weights": str(weights), "run_dir": run_dir}
    trainer.train(config("allconv", overrides=overrides, **fields))
    hinted = "--recipe=finetune suits pretrained weights" in capsys.readouterr().out
    assert hinted == (recipe == "default")


@pytest.fixture
def large(tmp_path):
    for i in range(4):
        save(tmp_path / "large" / "ab"[i % 2] / f"{i}.png", pixels(i, 200, 200, 3))
    return str(tmp_path / "large")


def test_far_too_many_weights_are_refused(config, large, tmp_path):
    match = "convnet has 327,683,970 weights for images of 200x200 pixels: too many"
    with pytest.raises(UserError, match=match + ". Pass --model=efficientnet_lite"):
        trainer.train(config("convnet", dataset=large, overrides={"batch_size": 1}))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("model", ["mlp", "allconv"])
def test_many_weights_are_advised_against(config, large, model, capsys):
    fields = {"image_size": (170, 170), "overrides": {"epochs": 1, "batch_size": 2}}
    trainer.train(config(model, dataset=large, **fields))
    said = "mlp has 22,228,610 weights for images of 170x170 pixels. "
    said += "--model=efficientnet_lite needs far fewer"
    assert (said in capsys.readouterr().err) == (model == "mlp")


def test_one_class_is_refused_before_training(config, tmp_path):
    class_tree(tmp_path / "one", ["cat"], count=100)
    with pytest.raises(UserError, match="two or more classes. Received: one, 'cat'"):
        trainer.train(config("linear", dataset=str(tmp_path / "one")))
