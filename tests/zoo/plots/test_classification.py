"""What is counted of a classifier, and what the pictures say of it."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.data.dataset import Split
from zoo.plots import canvas, classification
from zoo.plots.class_names import shorten


@pytest.fixture(scope="module")
def answers():
    """Probabilities of 20 classes for 3,000 examples, two in three right."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 20, 3000).astype(np.int32)
    outputs = rng.dirichlet(np.ones(20), 3000)
    outputs[np.arange(2000), labels[:2000]] += rng.uniform(0, 3, 2000)
    outputs /= outputs.sum(axis=1, keepdims=True)
    return outputs.astype(np.float32), labels


def test_the_calibration_error_is_that_of_its_definition(answers):
    outputs, labels = answers
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
    assert error > 0.01


@pytest.mark.parametrize(
    ("outputs", "labels", "filled"),
    [
        (np.eye(3, dtype=np.float32), [0, 1, 1], {14: (3, 1, 2 / 3)}),
        (np.eye(2, dtype=np.float32), [0, 1], {14: (2, 1, 1)}),
        (np.eye(2, dtype=np.float32), [1, 0], {14: (2, 1, 0)}),
        # 6/15 and 9/15: a bin has its upper edge and not its lower.
        (
            np.array([[0.4, 0.3, 0.3], [0.6, 0.4, 0.0]]),
            [0, 0],
            {5: (1, 0.4, 1), 8: (1, 0.6, 1)},
        ),
    ],
    ids=["always sure", "all right", "all wrong", "edges"],
)
def test_bins_of_calibration(outputs, labels, filled):
    counts, *means, error = classification.calibration(outputs, np.array(labels))
    expected = [(count, sure, right) for count, sure, right in filled.values()]
    assert np.flatnonzero(counts).tolist() == list(filled)
    np.testing.assert_allclose(
        np.transpose([counts[counts > 0], *means]), np.array(expected)
    )
    gaps = [count * abs(sure - right) for count, sure, right in expected]
    assert error == pytest.approx(sum(gaps) / len(labels))


def test_the_surest_mistakes_come_first(answers):
    outputs, labels = answers
    ranked = classification.rank_mistakes(outputs, labels)
    wrong = [
        (-row.max(), i)
        for i, (row, label) in enumerate(zip(outputs, labels, strict=True))
        if row.argmax() != label
    ]
    assert ranked.tolist() == [i for _, i in sorted(wrong)]


@pytest.mark.filterwarnings("error:Glyph")
def test_class_names_of_all_kinds_are_drawn(answers, tmp_path):
    odd = ["$5 bill $x$", "Ωμέγα", "ёжик", "漢字", "a\nb", "", "x" * 60, "y" * 60]
    names = [*odd, *(f"class {i}" for i in range(12))]
    many = [*odd, *(f"a long name of class {i}" for i in range(92))]
    counts = np.random.default_rng(0).integers(0, 9, (100, 100))
    with canvas.style(many):
        few = classification.confusion(counts[:20, :20], names)
        canvas.save(few, tmp_path / "few.png")
        hundred = classification.confusion(counts, many)
        canvas.save(hundred, tmp_path / "many.png")
    shown = [text.get_text() for text in few.axes[0].get_yticklabels()]
    assert shown[:3] == odd[:3]
    assert all(len(text) <= 14 for text in shown)
    assert len(set(shown)) == 20
    texts = few.axes[0].texts
    assert sum(int(text.get_text()) for text in texts) == counts[:20, :20].sum()
    bars = hundred.subfigs[1].axes[0].get_yticklabels()
    true, predicted = np.nonzero(counts * ~np.eye(100, dtype=bool) == 8)
    names = shorten(many, 26)
    assert [text.get_text() for text in bars] == [
        f"true {names[t]}, predicted {names[p]}"
        for t, p in zip(true[:15], predicted[:15], strict=True)
    ]


def test_a_classifier_without_mistakes_is_drawn(tmp_path):
    labels, outputs = np.arange(30), np.eye(30, dtype=np.float32)
    images = np.zeros((30, 8, 8, 1), np.uint8)
    names = list(map(str, range(30)))
    with canvas.style():
        for figure in (
            classification.confusion(np.eye(30, dtype=int), names),
            classification.mistakes(Split(images, labels), outputs, names),
            classification.reliability(outputs, labels),
        ):
            canvas.save(figure, tmp_path / "picture.png")
