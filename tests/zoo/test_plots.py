"""Pictures of runs: what is counted, what is drawn, and what may go wrong."""

from __future__ import annotations

import csv
import subprocess
import sys

import numpy as np
import pytest
import sklearn.metrics
from PIL import Image

import export
import zoo
from tests.conftest import ROOT
from zoo import plots, training, typeface
from zoo.config import Config
from zoo.rundir import RunDir

CLASSIFIER = ("curves", "confusion", "mistakes", "first_layer", "reliability")


@pytest.fixture(scope="module")
def answers():
    """Probabilities of 20 classes for 3,000 examples, two in three right."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 20, 3000).astype(np.int32)
    outputs = rng.dirichlet(np.ones(20), 3000)
    outputs[np.arange(2000), labels[:2000]] += rng.uniform(0, 3, 2000)
    outputs /= outputs.sum(axis=1, keepdims=True)
    return outputs.astype(np.float32), labels


@pytest.fixture(scope="module")
def runs(tmp_path_factory, data_dir):
    """A short run of a linear classifier, and one of a linear regression."""
    made = {}
    for dataset in ("digits", "linear_regression"):
        made[dataset] = training.run(
            Config(
                model="linear",
                dataset=dataset,
                overrides={"epochs": 3},
                data_dir=str(data_dir),
                run_dir=str(tmp_path_factory.mktemp("plots") / dataset),
            )
        )
    return made


def test_counts_are_those_of_scikit_learn(answers):
    outputs, labels = answers
    np.testing.assert_array_equal(
        plots.count_confusion(outputs, labels),
        sklearn.metrics.confusion_matrix(labels, outputs.argmax(axis=1)),
    )


def test_the_calibration_error_is_that_of_its_definition(answers):
    outputs, labels = answers
    counts, sure, accuracy, error = plots.calibration(outputs, labels)
    confidence, predicted = outputs.max(axis=1), outputs.argmax(axis=1)
    expected = 0.0
    for k in range(15):
        inside = (confidence > k / 15) & (confidence <= (k + 1) / 15)
        assert counts[k] == inside.sum()
        if inside.any():
            right = (predicted == labels)[inside].mean()
            np.testing.assert_allclose(sure[k], confidence[inside].mean(), rtol=1e-6)
            np.testing.assert_allclose(accuracy[k], right)
            expected += inside.mean() * abs(right - confidence[inside].mean())
    assert error == pytest.approx(expected, abs=1e-6)
    assert error > 0.01


def test_answers_that_are_always_sure_are_in_the_last_bin():
    outputs = np.eye(3, dtype=np.float32)
    counts, sure, accuracy, error = plots.calibration(outputs, np.array([0, 1, 1]))
    assert counts.tolist() == [0] * 14 + [3]
    assert (sure[-1], accuracy[-1]) == (1, pytest.approx(2 / 3))
    assert error == pytest.approx(1 / 3)


def test_the_surest_mistakes_come_first(answers):
    outputs, labels = answers
    chosen = plots.most_confident_mistakes(outputs, labels)
    wrong = [
        (-row.max(), i)
        for i, row in enumerate(outputs.tolist() and outputs)
        if row.argmax() != labels[i]
    ]
    assert chosen.tolist() == [i for _, i in sorted(wrong)[:25]]


def test_the_loss_surface_is_the_loss(runs):
    dataset = runs["linear_regression"].dataset
    weights, biases = np.array([[3.0, -1.0]]), np.array([[2.0, 0.5]])
    x, y = dataset.train.x[:, 0], dataset.train.y[:, 0]
    expected = [[np.mean((3 * x + 2 - y) ** 2), np.mean((-x + 0.5 - y) ** 2)]]
    got = plots.mean_squared_error(dataset, weights, biases)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("dataset", "names"),
    [("digits", CLASSIFIER), ("linear_regression", ("curves", "line", "path"))],
)
def test_a_run_gets_its_pictures_and_its_card_shows_them(runs, dataset, names, capfd):
    outcome = runs[dataset]
    drawn = plots.draw_run(outcome.run_dir, dataset=outcome.dataset)
    assert [path.stem for path in drawn] == list(names)
    assert all(path.parent == outcome.run_dir / "plots" for path in drawn)
    for path in drawn:
        with Image.open(path) as image:
            assert image.width == 800
            assert len(image.convert("RGB").getcolors(2**20)) > 20  # not blank
    written = {path: path.stat().st_mtime_ns for path in drawn}
    export.export_run(outcome.run_dir, ["tflite"], dataset=outcome.dataset)
    assert {path: path.stat().st_mtime_ns for path in drawn} == written
    assert "WARNING" not in capfd.readouterr().err
    card = (outcome.run_dir / "export" / "README.md").read_text()
    for name in (*names, "sizes"):
        assert f"![{plots.TITLES[name]}](plots/{name}.png)" in card
        assert (outcome.run_dir / "export" / "plots" / f"{name}.png").exists()
    events = (outcome.run_dir / "tensorboard").glob("events*")
    drawn_anew = (outcome.run_dir / "plots" / "sizes.png").read_bytes()
    assert sum(drawn_anew in path.read_bytes() for path in events) == 1
    left = {path.suffix for path in (outcome.run_dir / "plots").iterdir()}
    assert left <= {".png", ".csv"}


def test_the_counts_are_in_a_table_too(runs):
    outcome = runs["digits"]
    plots.draw_run(outcome.run_dir, dataset=outcome.dataset)
    with (outcome.run_dir / "plots" / "confusion.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    predicted = zoo.load_run(outcome.run_dir).predict(outcome.dataset.test.x, verbose=0)
    assert header[1:] == list(outcome.dataset.spec.class_names)
    assert [[int(count) for count in row[1:]] for row in rows] == (
        sklearn.metrics.confusion_matrix(
            outcome.dataset.test.y, predicted.argmax(axis=1)
        ).tolist()
    )


def test_a_class_may_be_called_as_the_table_s_corner_is(tmp_path):
    run = RunDir(tmp_path)
    run.plots.mkdir()
    names = ["true class", "b"]
    plots._write_counts(run, np.array([[1, 2], [3, 4]]), names)
    with (run.plots / "confusion.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["true class", *names]
    assert rows == [["true class", "1", "2"], ["b", "3", "4"]]


def test_the_path_of_a_regression_is_recorded(runs):
    outcome = runs["linear_regression"]
    rows = plots.read_metrics(outcome.run_dir / "metrics.csv")
    learned = outcome.result["learned"]
    assert len({row["weight"] for row in rows}) == 3
    assert rows[-1]["weight"] == pytest.approx(learned["weight"], abs=1e-6)
    assert rows[-1]["bias"] == pytest.approx(learned["bias"], abs=1e-6)


def test_a_picture_that_fails_costs_a_warning_and_no_run(runs, capfd, monkeypatch):
    outcome = runs["digits"]
    (picture,) = outcome.run_dir.glob("plots/curves.png")
    picture.unlink()

    def fail(*_):
        raise RuntimeError("no\nfont")

    monkeypatch.setattr(plots, "curves", fail)
    export.export_run(outcome.run_dir, ["tflite"], dataset=outcome.dataset)
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert line.startswith("WARNING: Not all pictures of ")
    assert line.endswith("could be drawn: RuntimeError: no font.")
    card = (outcome.run_dir / "export" / "README.md").read_text()
    assert "plots/curves.png" not in card
    assert "plots/confusion.png" in card


def test_class_names_of_all_kinds_are_drawn(answers, tmp_path, capfd):
    outputs, labels = answers
    odd = ["$5 bill $x$", "Ωμέγα", "ёжик", "漢字", "a\nb", "", "x" * 60, "y" * 60]
    names = [*odd, *(f"class {i}" for i in range(12))]
    many = [*odd, *(f"a long name of class {i}" for i in range(92))]
    counts = np.random.default_rng(0).integers(0, 9, (100, 100))
    with plots.style(many):
        few = plots.confusion(plots.count_confusion(outputs, labels), names)
        plots.save(few, tmp_path / "few.png")
        hundred = plots.confusion(counts, many)
        plots.save(hundred, tmp_path / "many.png")
    assert "missing from font" not in capfd.readouterr().err
    shown = [text.get_text() for text in few.axes[0].get_yticklabels()]
    assert shown[:3] == odd[:3]
    assert all(len(text) <= 14 for text in shown)
    assert len(set(shown)) == 20
    assert sum(int(text.get_text()) for text in few.axes[0].texts) == 3000
    bars = hundred.subfigs[1].axes[0].get_yticklabels()
    true, predicted = np.nonzero(counts * ~np.eye(100, dtype=bool) == 8)
    names = typeface.labels(many, 26)
    assert [text.get_text() for text in bars] == [
        f"true {names[t]}, predicted {names[p]}"
        for t, p in zip(true[:15], predicted[:15], strict=True)
    ]


def test_names_are_told_apart_after_shortening():
    names = ["left lung, upper", "left long, upper", "漢字" * 3, "漢", "a", "a"]
    shown = typeface.labels(names, 8)
    assert len(set(shown)) == len(shown)
    assert all(len(text) <= 8 for text in shown)
    assert typeface.labels(["cat", "dog"], 8) == ["cat", "dog"]
    assert len(set(typeface.labels(["a", "a", "a…#0"], 8))) == 3


def test_a_letter_that_no_font_has_becomes_a_number():
    private = "\U000f0000"
    assert typeface.labels(["cat", private], 8) == ["cat", "#1"]
    assert typeface.without_font(["cat", private, "a\nb"]) == [private]


def warnings(capfd):
    lines = capfd.readouterr().err.splitlines()
    return [line for line in lines if line.startswith("WARNING: ")]


def test_a_run_whose_names_have_no_font_says_what_to_install(tmp_path, data_dir, capfd):
    rng = np.random.default_rng(0)
    for name in ("cat", "\U000f0000"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(10):
            image = rng.integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(image).save(tmp_path / "images" / name / f"{i}.png")
    outcome = training.run(
        Config(
            model="linear",
            dataset=str(tmp_path / "images"),
            overrides={"epochs": 1, "batch_size": 4},
            data_dir=str(data_dir),
            run_dir=str(tmp_path / "run"),
            tensorboard=False,
        )
    )
    capfd.readouterr()
    drawn = plots.draw_run(outcome.run_dir, dataset=outcome.dataset)
    assert [path.stem for path in drawn] == list(CLASSIFIER)
    (line,) = warnings(capfd)
    assert line.startswith("WARNING: 1 of 2 class names, as '\\U000f0000', have ")
    assert "Install one (" in line
    plots.draw_run(outcome.run_dir, dataset=outcome.dataset)
    assert warnings(capfd) == []


def test_matplotlib_waits_until_something_is_drawn():
    # Keras itself imports it where it is installed: looked at without Keras.
    code = (
        "import sys, train, export\nfrom zoo import plots, typeface\n"
        "assert not [m for m in sys.modules if m.startswith('matplotlib')]"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)
