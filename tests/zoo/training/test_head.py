"""Tests the first stage of fine-tuning against scikit-learn, and how it resumes."""

from __future__ import annotations

import csv
import dataclasses
import json
import signal
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import zoo
from tests.soak.kills import differences
from tests.zoo.data.written import TEST_Y, TRAIN_Y, idx_arrays, save, write_idx
from zoo import files
from zoo.errors import Interrupted, UserError
from zoo.records.rundir import RunDir
from zoo.training import head, trainer
from zoo.training.config import Config

# Images of each class in the training split: unequal, so that class weights matter.
COUNTS = {"dark": 22, "pale": 14, "red": 9}
SMOOTHING = 0.1


@pytest.fixture(scope="module", autouse=True)
def _small_blocks():
    """Splits the images into blocks of 32, as 128 would split more of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(head, "_BLOCK", 32)
        yield


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Trees of 32x32 images with two and with three classes, by their number."""
    rng = np.random.default_rng(0)
    colors = {"dark": (90, 100, 110), "pale": (150, 140, 130), "red": (170, 90, 90)}
    trees = {}
    for count in (2, 3):
        trees[count] = tmp_path_factory.mktemp("photographs")
        for name in list(COUNTS)[:count]:
            for i in range(COUNTS[name] + 4):
                noise = rng.normal(scale=60, size=(32, 32, 3))
                noise += np.linspace(-40, 40, 32)[:, np.newaxis]  # light from the left
                image = np.clip(noise + colors[name], 0, 255).astype(np.uint8)
                split = "train" if i < COUNTS[name] else "test"
                save(trees[count] / split / name / f"{i:02d}.png", image)
    return trees


@pytest.fixture(scope="module")
def tuning(photographs, data_dir, tmp_path_factory):
    """Makes the Config of a small network that is tuned, the head first."""
    directory = tmp_path_factory.mktemp("runs")

    def make(run, classes=3, **fields):
        length = {} if fields.get("freeze") == "head" else {"epochs": 2}
        return Config(
            model="resnet",
            recipe="tiny",
            weights="cifar10/tiny",
            dataset=str(photographs[classes]),
            data_dir=str(data_dir),
            run_dir=str(directory / run),
            overrides={
                "head_first": True,
                "label_smoothing": SMOOTHING,
                "augment": {"flip": 0.5},
                "batch_size": 8,
                "steps_per_execution": 1,
                **length,
            },
            **fields,
        )

    return make


@pytest.fixture(scope="module")
def whole(tuning):
    """A run that has only fitted the head, which nothing stopped."""
    return trainer.train(tuning("whole", freeze="head"))


def rows_of(trained):
    return [*csv.DictReader(trained.run.metrics.open())]


def seen(train, model, weights):
    """Returns float64 features of the images and of mirrored ones, and the labels."""
    shape = train.x.shape[1:]
    network = zoo.create_model(model, weights=weights, input_shape=shape, features=True)
    views = (train.x, np.flip(train.x, axis=2))
    features = [network.predict(view, verbose=0) for view in views]
    return np.concatenate(features).astype(np.float64), np.tile(train.y, 2)


def check_optimum(trained, features, labels, *, smoothing, weights=None):
    """Checks a head against features, and its row of metrics.csv."""
    kernel, bias = (w.astype(np.float64) for w in trained.model.get_weights()[-2:])
    weights = np.ones(len(labels)) if weights is None else weights[labels]
    one_hot = np.eye(len(bias))[labels]
    mean, deviation = features.mean(axis=0), features.std()
    scaled = (features - mean) / deviation

    logits = features @ kernel + bias
    shifted = logits - logits.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    # The gradient of the weighted mean of the loss, with the penalty.
    error = (np.exp(logs) - one_hot) * weights[:, np.newaxis] / weights.sum()
    of_kernel, penalty = scaled.T @ error, kernel * deviation
    if len(bias) == 2:  # the penalty is that of the difference of the two
        penalty = penalty - penalty[:, ::-1]
    gradient = of_kernel + penalty / (head.PENALTY * weights.sum())
    assert np.abs(of_kernel).max() > 1e-2  # which the penalty has to balance
    assert np.abs(gradient).max() < 3e-4
    assert np.abs(error.sum(axis=0)).max() < 3e-4  # of the bias

    best = LogisticRegression(C=head.PENALTY, tol=1e-10, max_iter=10_000)
    expected = best.fit(scaled, labels, weights).predict_proba(scaled)
    np.testing.assert_allclose(np.exp(logs), expected, atol=2e-3)

    row, *_ = rows_of(trained)
    target = (1 - smoothing) * one_hot + smoothing / len(bias)
    loss = -(target * logs).sum(axis=1).mean()
    right = (logits.argmax(axis=1) == labels).mean()
    assert float(row["loss"]) == pytest.approx(loss, rel=1e-4)
    assert float(row["accuracy"]) == pytest.approx(right)
    assert 1 / len(bias) < right


def test_the_head_is_the_optimum_on_the_features(whole):
    features, labels = seen(whole.dataset.train, "resnet", "cifar10/tiny")
    assert features.shape == (2 * sum(COUNTS.values()), 64)
    check_optimum(whole, features, labels, smoothing=SMOOTHING)


@pytest.mark.parametrize(
    ("classes", "class_weights"), [(3, "balanced"), (2, "none"), (2, "balanced")]
)
def test_so_it_is_with_class_weights_and_two_classes(classes, class_weights, tuning):
    fields = {"classes": classes, "class_weights": class_weights}
    trained = trainer.train(
        tuning(f"{classes}-{class_weights}", freeze="head", **fields)
    )
    train, weights = trained.dataset.train, None
    if class_weights == "balanced":
        weights = len(train.y) / (classes * np.bincount(train.y))
    features, labels = seen(train, "resnet", "cifar10/tiny")
    check_optimum(trained, features, labels, smoothing=SMOOTHING, weights=weights)


def test_a_class_without_images_is_never_the_answer(tuning, tmp_path):
    content = idx_arrays((32, 32), train=30, test=9)
    for name in (TRAIN_Y, TEST_Y):
        content[name] = np.array([0, 2, 5])[content[name]]
    asked = tuning("unseen", freeze="head")
    images = str(write_idx(tmp_path / "images", content))
    trained = trainer.train(dataclasses.replace(asked, dataset=images))
    assert trained.dataset.spec.num_classes == 6
    features, labels = seen(trained.dataset.train, "resnet", "cifar10/tiny")
    kernel, bias = trained.model.get_weights()[-2:]
    answers = (features @ kernel + bias).argmax(axis=1)
    assert {*answers} == {0, 2, 5}
    assert (answers == labels).mean() > 0.5
    assert trained.outputs[:, [1, 3, 4]].max() < 1e-2


def test_the_head_is_all_that_changes(whole, tuning):
    (row,) = rows_of(whole)
    assert (row["epoch"], row["step"], whole.result["steps"]) == ("0", "0", 0)
    for split, prefix in (("train", ""), ("test", "val_")):
        for name, value in whole.result[split].items():
            assert float(row[prefix + name]) == value
    given = zoo.create_model("resnet", weights="cifar10/tiny").get_weights()
    for now, before in zip(whole.model.get_weights()[:-2], given[:-2], strict=True):
        np.testing.assert_array_equal(now, before)
    assert not whole.run.backup.exists()
    assert trainer.train(tuning("whole", freeze="head")).done_before


@pytest.fixture
def photographer(config, photographs):
    """Makes the Config of a training from ImageNet, with the default recipe."""

    def make(**fields):
        overrides = {"batch_size": 15, "epochs": 1, "steps_per_execution": 1}
        published = {"weights": None, "image_size": None}  # as without the flags
        places = {"dataset": str(photographs[3]), "overrides": overrides}
        asked = config("efficientnet_lite", **published, **places, **fields)
        if "freeze" in fields:
            del asked.overrides["epochs"]
        return asked

    return make


def check_backbone(trained, *, moved):
    """Checks which weights before the head differ from those of ImageNet."""
    given = zoo.create_model("efficientnet_lite", weights="imagenet").get_weights()
    weights = trained.model.weights
    for weight, before in zip(weights[:-2], given[:-2], strict=True):
        learns = moved and "moving_" not in weight.path
        assert np.array_equal(weight, before) != learns, weight.path


def test_the_head_for_the_features_of_imagenet_is_the_optimum(photographer):
    trained = trainer.train(photographer(freeze="head"))
    features, labels = seen(trained.dataset.train, "efficientnet_lite", "imagenet")
    check_optimum(trained, features, labels, smoothing=SMOOTHING)
    check_backbone(trained, moved=False)


@pytest.mark.slow
def test_from_the_head_on_all_but_the_statistics_learns(photographer):
    trained = trainer.train(photographer())
    rows = rows_of(trained)
    assert [(row["epoch"], row["step"]) for row in rows] == [("0", "0"), ("1", "3")]
    check_backbone(trained, moved=True)


def test_a_stop_among_the_features_changes_no_bit(whole, tuning, monkeypatch):
    replacing, written = files.replacing, []

    def noted(path):
        if path.parent.name == "backup":
            written.append(path.name)
            if written == ["features-000000000.npy"]:
                signal.raise_signal(signal.SIGTERM)
        return replacing(path)

    monkeypatch.setattr(files, "replacing", noted)
    asked = tuning("stopped", freeze="head")
    with pytest.raises(Interrupted, match="SIGTERM after the features of 32 images;"):
        trainer.train(asked)
    backup = RunDir(asked.run_dir).backup
    assert {path.name for path in backup.iterdir()} == {*written}
    trained = trainer.train(asked)
    assert written[1:] == ["features-000000032.npy", "head.npz"]
    assert differences(whole.run.path, trained.run.path) == []
    assert not backup.exists()


def test_a_signal_at_the_end_of_the_first_stage_leaves_one_row(
    whole, tuning, monkeypatch
):
    take_over = head.take_over

    def signaled(job, model):
        signal.raise_signal(signal.SIGTERM)
        return take_over(job, model)

    monkeypatch.setattr(head, "take_over", signaled)
    with pytest.raises(Interrupted, match="SIGTERM after step 0 of 0"):
        trainer.train(tuning("signaled", freeze="head"))
    monkeypatch.undo()
    trained = trainer.train(tuning("signaled", freeze="head"))
    assert len(rows_of(trained)) == 1
    assert differences(whole.run.path, trained.run.path) == []


def test_killed_in_the_second_stage_it_keeps_the_first(
    tuning, at_step, monkeypatch, capfd
):
    """The soak test's case head_first compares the bits after a SIGKILL."""

    class Killed(BaseException):
        pass

    def kill():
        raise Killed

    at_step(4, kill)  # its backup is that after step 3
    asked = tuning("killed", backup_steps=1)
    with pytest.raises(Killed):
        trainer.train(asked)
    run = RunDir(asked.run_dir)
    kept = run.metrics.read_text()
    assert {path.name for path in run.backup.iterdir()} == {
        "head.npz",
        "step-000000002.npz",
        "step-000000003.npz",
    }
    monkeypatch.setattr(head, "_features", lambda *_: pytest.fail("again"))
    trained = trainer.train(asked)
    assert "after step 3 of 10.\n" in capfd.readouterr().out
    rows = rows_of(trained)
    assert [(row["epoch"], row["step"]) for row in rows] == [
        ("0", "0"),
        ("1", "5"),
        ("2", "10"),
    ]
    (before,) = csv.DictReader(kept.splitlines())
    # The columns of later rows, such as those of the optimizer, may be more.
    assert before.items() <= rows[0].items()
    assert not trained.run.backup.exists()


def test_two_devices_take_the_same_head(whole, tuning):
    two = trainer.train(tuning("mirrored", strategy="mirrored", freeze="head"))
    strategy = json.loads(two.run.config.read_text())["strategy"]
    assert strategy == {"name": "mirrored", "replicas": 2, "workers": 1}
    weights = (trained.model.get_weights() for trained in (two, whole))
    for ours, theirs in zip(*weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert two.result["test"] == whole.result["test"]


def test_classes_without_training_images_are_never_predicted():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 2], 20)
    features = rng.normal(size=(40, 3)).astype(np.float32) + labels[:, np.newaxis]
    kernel, bias = head._regression(features, labels, None, 4)
    logits = features @ kernel + bias
    assert (kernel.shape, bias.shape) == ((3, 4), (4,))
    peer = LogisticRegression(C=head.PENALTY).fit(features, labels)
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = peer.predict_proba(features)
    np.testing.assert_allclose(chances[:, [0, 2]], expected, atol=1e-3)
    assert chances[:, [1, 3]].max() < 1e-6


def test_one_class_with_images_is_refused_before_any_feature(tuning, tmp_path):
    job = SimpleNamespace(
        run=RunDir(tmp_path),
        dataset=SimpleNamespace(train=SimpleNamespace(y=np.zeros(5, int))),
        source=SimpleNamespace(used="mine"),
    )
    with pytest.raises(UserError, match="two or more classes. Received: 5 images"):
        head.fit(job, None, None)


@pytest.mark.parametrize(
    ("flag", "value"), [("epochs", 3), ("optimizer", "sgd"), ("learning_rate", 0.1)]
)
def test_a_flag_that_a_fitted_head_does_not_need_is_refused(tuning, flag, value):
    asked = tuning("needless", freeze="head")
    asked.overrides[flag] = value
    if flag == "optimizer":
        asked.overrides["nesterov"] = False
    with pytest.raises(UserError, match=f"needs no --{flag}. Received: --{flag}="):
        trainer.train(asked)
