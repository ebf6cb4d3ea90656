"""Tests the numbers of a classifier and the texts in its pictures."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text

from zoo.data.dataset import Dataset, Split
from zoo.plots import canvas, classification
from zoo.records.rundir import RunDir
from zoo.runs.run import Run


def answers(seed=0):
    """Returns probabilities of 20 classes for 3,000 examples; two thirds are right."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 20, 3000)
    outputs = rng.dirichlet(np.ones(20), 3000)
    outputs[np.arange(2000), labels[:2000]] += rng.uniform(0, 3, 2000)
    outputs /= outputs.sum(axis=1, keepdims=True)
    return outputs.astype(np.float32), labels


def finished(outputs, labels, names):
    """Returns a run of black images with these outputs."""
    images = np.zeros((len(labels), 8, 8, 1), np.uint8)
    data = Dataset(spec=None, train=None, test=Split(images, np.array(labels)))
    trained = Run(RunDir("nowhere"), dataset=data, outputs=outputs)
    trained.config = {"data": {"class_names": names}}
    return trained


@pytest.mark.parametrize(
    ("outputs", "labels"),
    [
        answers(),
        (np.eye(3, dtype=np.float32), np.array([0, 1, 1])),
        # 6/15 and 9/15: a bin includes its upper edge but not its lower edge.
        (np.array([[0.4, 0.3, 0.3], [0.6, 0.4, 0.0]]), np.array([0, 0])),
    ],
    ids=["some right", "always sure", "edges"],
)
def test_the_calibration_error_is_that_of_its_definition(outputs, labels):
    counts, sure, accuracy, error = classification.calibration(outputs, labels)
    confidence, predicted = outputs.max(axis=1), outputs.argmax(axis=1)
    expected = []
    for k in range(15):
        inside = (confidence > k / 15) & (confidence <= (k + 1) / 15)
        assert counts[k] == inside.sum()
        if inside.any():
            right = (predicted == labels)[inside].mean()
            expected.append((confidence[inside].mean(), right, inside.mean()))
    means, rights, weights = np.transpose(expected)
    np.testing.assert_allclose(sure, means, rtol=1e-6)
    np.testing.assert_allclose(accuracy, rights)
    assert error == pytest.approx(weights @ abs(rights - means), abs=1e-6)


def test_the_surest_mistakes_come_first():
    outputs, labels = answers()
    names = [f"class {i}" for i in range(20)]
    figure = classification.mistakes(finished(outputs, labels, names))
    predicted, sure = outputs.argmax(axis=1), outputs.max(axis=1)
    wrong = sorted(np.flatnonzero(predicted != labels), key=lambda i: -sure[i])
    title = f"25 of {len(wrong):,} mistakes among 3,000 "
    assert figure.get_suptitle().startswith(title)
    assert [axes.get_title() for axes in figure.axes] == [
        f"true: class {labels[i]}\npredicted: class {predicted[i]}\n"
        f"confidence {100 * sure[i]:.1f}%"
        for i in wrong[:25]
    ]


@pytest.mark.parametrize("n", [20, 100])
def test_class_names_of_all_kinds_are_drawn(n, tmp_path):
    names = ["$5 bill $x$", "Ωμέγα", "ёжик", "漢字", "a\nb", "", "x" * 60, "y" * 60]
    names += [f"a long name of class {i}" for i in range(8, n)]
    counts = np.random.default_rng(0).integers(0, 9, (n, n))
    pairs = np.indices((n, n)).reshape(2, -1)
    labels, predicted = np.repeat(pairs, counts.ravel(), axis=1)
    with canvas.style():
        figure = classification.confusion(finished(np.eye(n)[predicted], labels, names))
        canvas.save(figure, tmp_path / "confusion.png")
    if n == 20:
        (axes, _) = figure.axes
        shown = [text.get_text() for text in axes.get_yticklabels()]
        assert shown[:3] == names[:3]
        assert all(len(text) <= 14 for text in shown)
        assert sum(int(text.get_text()) for text in axes.texts) == counts.sum()
    else:
        bars = figure.subfigs[1].axes[0].get_yticklabels()
        short = canvas.shorten(names, 26)
        wrong = np.argwhere(counts * ~np.eye(n, dtype=bool) == 8)[:15]
        assert [text.get_text() for text in bars] == [
            f"true {short[true]}, predicted {short[answer]}" for true, answer in wrong
        ]


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        ("confusion", "30 of 30 test examples are right, 100.00%"),
        ("reliability", "expected calibration error 0.00% (15 bins)"),
    ],
)
def test_a_classifier_without_mistakes_is_drawn(picture, said, tmp_path):
    trained = finished(np.eye(30, dtype=np.float32), range(30), list("ab" * 15))
    assert classification.mistakes(trained) is None
    with canvas.style():
        figure = getattr(classification, picture)(trained)
        canvas.save(figure, tmp_path / "picture.png")
    assert any(said in text.get_text() for text in figure.findobj(Text))


def test_bars_that_rest_on_few_examples_are_pale_and_counted():
    confidence = [0.95] * 30 + [0.65] * 3
    outputs = np.array([[sure, 1 - sure] for sure in confidence])
    labels = [0] * 27 + [1] * 3 + [0, 0, 1]
    above, below = classification.reliability(finished(outputs, labels, "ab")).axes
    (bars,) = above.containers
    drawn = {
        round(bar.get_x() * 15): (bar.get_height(), to_hex(bar.get_facecolor()))
        for bar in bars
    }
    pale, usual = canvas.PALE.lower(), canvas.SKY.lower()
    assert drawn == {9: (pytest.approx(2 / 3), pale), 14: (0.9, usual)}
    counts = [text.get_text() for text in below.texts]
    assert (counts[9], counts[14]) == ("3", "30")
