"""Scores of a trained model, and the threads that exported files are run with."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.data import pipeline
from zoo.data.dataset import Split
from zoo.errors import UserError
from zoo.runs import artifact, scoring
from zoo.runs import predict as evaluation


@pytest.mark.parametrize("num_classes", [10, None])
def test_scores_are_those_of_keras_and_outputs_those_of_predict(num_classes):
    shape = (6, 6, 1) if num_classes else (1,)
    model = zoo.create_model(
        "linear",
        input_shape=shape,
        num_classes=num_classes,
        report_gradient_norm=True,
    )
    draw = np.random.default_rng(0)
    x = draw.integers(0, 256, (1234, *shape)).astype(np.uint8)
    y = draw.integers(0, 10, 1234).astype(np.int32)
    if num_classes is None:
        x, y = draw.normal(size=(2, 1234, 1)).astype(np.float32)
    evaluate = scoring.Evaluator(model)
    for _ in range(2):  # nothing of the first time is left
        scores, outputs = evaluate(pipeline.evaluation_batches(Split(x, y)))
    expected = model.evaluate(x, y, batch_size=500, verbose=0, return_dict=True)
    assert scores == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(outputs, scoring.outputs(model, Split(x, y)), atol=1e-6)
    assert outputs.dtype == np.float32


def test_images_of_swapped_polarity_are_warned_of_and_can_be_inverted(
    trained_run, tmp_path, capsys
):
    paths = [str(tmp_path / name) for name in ("right.png", "swapped.png")]
    image = trained_run.dataset.test.x[0, ..., 0]
    for path, pixels in zip(paths, (image, 255 - image), strict=True):
        Image.fromarray(pixels).save(path)
    run_dir = str(trained_run.run.path)
    right, _ = evaluation.predict_images(run_dir, None, paths)
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{paths[1]} is much lighter than the images" in line
    assert line.endswith("If black and white are swapped in it, pass --invert.")
    _, swapped = evaluation.predict_images(run_dir, None, paths, invert=True)
    assert swapped[1:] == pytest.approx(right[1:])
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{paths[0]} is much lighter" in line and "leave out --invert" in line


def test_all_images_that_do_not_decode_are_named(trained_run, tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("x")
    paths = [str(tmp_path / name) for name in ("empty.png", "text.jpg", "none.png")]
    match = f"^{paths[0]} is empty. {paths[1]} is not a PNG.* {paths[2]} cannot be read"
    with pytest.raises(UserError, match=match):
        evaluation.predict_images(str(trained_run.run.path), None, paths)


def test_artifacts_are_run_on_the_cpus_that_this_process_may_use(tmp_path, monkeypatch):
    def load(path, workers):
        raise UserError(f"{workers} workers")

    monkeypatch.setattr(artifact, "load", load)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    with pytest.raises(UserError, match="^1 workers"):
        evaluation.predict_images(None, str(tmp_path / "model.tflite"), ["a.png"])


def test_what_does_not_exist_is_answered_with_what_is_there(trained_run, tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mine").symlink_to(trained_run.run.path)
    runs = str(tmp_path / "runs")
    with pytest.raises(UserError, match=f"'{runs}/min'. Known: .*mean '{runs}/mine'"):
        zoo.predict(f"{runs}/min", "a.png")
    with pytest.raises(UserError, match="Known: .*mlp/mnist.*mean 'resnet/cifar10"):
        zoo.predict("cifar10", "a.png")
    gone = f"{runs}/gone/export/tflite/model_int8.tflite"
    with pytest.raises(UserError, match=f"no exported file {gone}. In {runs} are: min"):
        zoo.predict(gone, "a.png")


def test_without_images_nothing_is_predicted():
    assert zoo.predict("linear/mnist", []) == []
