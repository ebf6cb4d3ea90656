"""Tests the pictures of runs, and failures to draw them."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.conftest import train_run
from zoo import files
from zoo.plots import draw, overview
from zoo.records.rundir import RunDir
from zoo.runs.run import Run, open_run

CLASSIFIER = list(draw.CLASSIFIER)
ARTIFACTS = [
    {"name": name, "bytes": size, "accuracy": 0.9, "max_abs_error": 1e-6}
    | {"latency_ms": {"median": ms}}
    for name, size, ms in (("saved_model", 90_000, 0.4), ("int8", 400, 0.0041))
]


@pytest.fixture(scope="module")
def regression_run(tmp_path_factory, data_dir):
    """A short run of a linear regression."""
    path = tmp_path_factory.mktemp("plots") / "regression"
    return train_run(path, data_dir, "linear", "linear_regression")


@pytest.fixture
def copied(trained_run, tmp_path):
    """A copy of a classifier's run with its model and dataset in memory."""
    path = shutil.copytree(trained_run.run.path, tmp_path / "run")
    made = {"dataset": trained_run.dataset, "model": trained_run.model}
    return Run(RunDir(path), **made)


def pretend_drawn(run, *missing):
    """Creates empty files for all pictures except ``missing``, which are then drawn."""
    run.plots.mkdir()
    for name in set(CLASSIFIER) - set(missing):
        (run.plots / f"{name}.png").touch()


def warnings(capfd):
    lines = capfd.readouterr().err.splitlines()
    return [line for line in lines if line.startswith("WARNING: ")]


@pytest.mark.parametrize(
    ("fixture", "names"),
    [("copied", CLASSIFIER), ("regression_run", ["curves", "line", "path"])],
)
def test_a_run_gets_its_pictures_once(fixture, names, request, capfd):
    trained = request.getfixturevalue(fixture)
    capfd.readouterr()  # discards the output of the training
    run = trained.run
    drawn = draw.draw_run(trained, ARTIFACTS)
    assert [path.stem for path in drawn] == [*names, "sizes"]
    assert all(path.parent == run.plots for path in drawn)
    for path in drawn:
        with Image.open(path) as image:
            assert image.width == 800
            assert len(image.convert("RGB").getcolors(2**20)) > 20  # not blank
    assert {path.suffix for path in run.plots.iterdir()} <= {".png", ".csv"}
    written = {path: path.stat().st_mtime_ns for path in drawn}
    again = open_run(run.path)
    assert draw.draw_run(again) == drawn
    assert {path: path.stat().st_mtime_ns for path in drawn} == written
    assert not {"model", "dataset", "outputs"} & vars(again).keys()
    assert warnings(capfd) == []


def test_the_counts_are_in_a_table_too(copied):
    names = copied.config["data"]["class_names"]
    names[0] = "true class"  # the table's corner has the same text
    pretend_drawn(copied.run, "confusion")
    draw.draw_run(copied)
    test = copied.dataset.test
    predicted = copied.model.predict(test.x, verbose=0).argmax(axis=1)
    with (copied.run.plots / "confusion.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["true class", *names]
    for true, (name, *counts) in enumerate(rows):
        assert name == names[true]
        answers = np.bincount(predicted[test.y == true], minlength=10)
        assert list(map(int, counts)) == answers.tolist()
    assert len(rows) == 10


def test_curves_name_the_split_that_was_evaluated(tmp_path):
    trained = Run(RunDir(tmp_path))
    trained.result = {"validation": {}, "steps": 20}
    rows = [{"epoch": k, "loss": 1 / k, "val_loss": 2 / k} for k in (1, 20)]
    files.write_csv(trained.run.metrics, rows)
    (axes,) = overview.curves(trained).axes
    assert axes.get_yscale() == "log"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "training, 0.05 at the end",
        "validation, 0.1 at the end",
    ]


def test_files_that_are_alike_have_a_row_each():
    alike = [ARTIFACTS[1] | {"name": name} for name in ("float32", "dynamic", "int8")]
    size, quality, latency = overview.sizes(alike).axes
    names = [text.get_text() for text in size.get_yticklabels()]
    assert names == ["float32", "dynamic", "int8"]
    (dots,) = quality.lines
    assert list(dots.get_xdata()) == [90.0] * 3
    assert list(dots.get_ydata()) == [0, 1, 2]
    assert [text.get_text() for text in quality.texts] == ["90.00%"] * 3
    assert [text.get_text() for text in latency.texts] == ["0.0041"] * 3


def test_a_picture_that_fails_costs_a_warning_and_no_run(copied, capfd, monkeypatch):
    pretend_drawn(copied.run, "reliability")

    def fail(*_):
        raise RuntimeError("no\nfont")

    monkeypatch.setitem(draw.CLASSIFIER, "reliability", fail)
    drawn = [path.stem for path in draw.draw_run(copied)]
    assert drawn == [name for name in CLASSIFIER if name != "reliability"]
    (line,) = warnings(capfd)
    assert line.startswith("WARNING: Not all pictures of ")
    assert line.endswith("could be drawn: RuntimeError: no font.")
