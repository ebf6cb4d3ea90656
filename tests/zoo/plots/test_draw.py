"""Pictures of runs: what is drawn, and what may go wrong."""

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
from zoo.plots import curves, draw
from zoo.training import trainer
from zoo.training.config import Config
from zoo.training.rundir import RunDir

CLASSIFIER = ("curves", "confusion", "mistakes", "first_layer", "reliability")


@pytest.fixture(scope="module")
def runs(tmp_path_factory, data_dir):
    """A short run of a linear classifier, and one of a linear regression."""
    made = {}
    for dataset in ("digits", "linear_regression"):
        made[dataset] = trainer.train(
            Config(
                model="linear",
                dataset=dataset,
                overrides={"epochs": 3},
                data_dir=str(data_dir),
                run_dir=str(tmp_path_factory.mktemp("plots") / dataset),
            )
        )
    return made


@pytest.mark.parametrize(
    ("dataset", "names"),
    [("digits", CLASSIFIER), ("linear_regression", ("curves", "line", "path"))],
)
def test_a_run_gets_its_pictures_and_its_card_shows_them(runs, dataset, names, capfd):
    outcome = runs[dataset]
    drawn = draw.draw_run(outcome.run_dir, dataset=outcome.dataset)
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
        assert f"![{draw.TITLES[name]}](plots/{name}.png)" in card
        assert (outcome.run_dir / "export" / "plots" / f"{name}.png").exists()
    events = (outcome.run_dir / "tensorboard").glob("events*")
    drawn_anew = (outcome.run_dir / "plots" / "sizes.png").read_bytes()
    assert sum(drawn_anew in path.read_bytes() for path in events) == 1
    left = {path.suffix for path in (outcome.run_dir / "plots").iterdir()}
    assert left <= {".png", ".csv"}


def test_the_counts_are_in_a_table_too(runs):
    outcome = runs["digits"]
    draw.draw_run(outcome.run_dir, dataset=outcome.dataset)
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
    draw._write_counts(run, np.array([[1, 2], [3, 4]]), names)
    with (run.plots / "confusion.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["true class", *names]
    assert rows == [["true class", "1", "2"], ["b", "3", "4"]]


def test_the_path_of_a_regression_is_recorded(runs):
    outcome = runs["linear_regression"]
    rows = curves.read_metrics(outcome.run_dir / "metrics.csv")
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

    monkeypatch.setattr(draw, "curves", fail)
    export.export_run(outcome.run_dir, ["tflite"], dataset=outcome.dataset)
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert line.startswith("WARNING: Not all pictures of ")
    assert line.endswith("could be drawn: RuntimeError: no font.")
    card = (outcome.run_dir / "export" / "README.md").read_text()
    assert "plots/curves.png" not in card
    assert "plots/confusion.png" in card


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
    outcome = trainer.train(
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
    drawn = draw.draw_run(outcome.run_dir, dataset=outcome.dataset)
    assert [path.stem for path in drawn] == list(CLASSIFIER)
    (line,) = warnings(capfd)
    assert line.startswith("WARNING: 1 of 2 class names, as '\\U000f0000', have ")
    assert "Install one (" in line
    draw.draw_run(outcome.run_dir, dataset=outcome.dataset)
    assert warnings(capfd) == []


def test_matplotlib_waits_until_something_is_drawn():
    # Keras itself imports it where it is installed: looked at without Keras.
    code = (
        "import sys, train, export\nfrom zoo.plots import draw, typeface\n"
        "assert not [m for m in sys.modules if m.startswith('matplotlib')]"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)
