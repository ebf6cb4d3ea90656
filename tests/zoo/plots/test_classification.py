"""What is counted of a classifier, and how its classes are named."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics

from zoo.plots import canvas, classification, typeface


@pytest.fixture(scope="module")
def answers():
    """Probabilities of 20 classes for 3,000 examples, two in three right."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 20, 3000).astype(np.int32)
    outputs = rng.dirichlet(np.ones(20), 3000)
    outputs[np.arange(2000), labels[:2000]] += rng.uniform(0, 3, 2000)
    outputs /= outputs.sum(axis=1, keepdims=True)
    return outputs.astype(np.float32), labels


def test_counts_are_those_of_scikit_learn(answers):
    outputs, labels = answers
    np.testing.assert_array_equal(
        classification.count_confusion(outputs, labels),
        sklearn.metrics.confusion_matrix(labels, outputs.argmax(axis=1)),
    )


def test_the_calibration_error_is_that_of_its_definition(answers):
    outputs, labels = answers
    counts, sure, accuracy, error = classification.calibration(outputs, labels)
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
    counts, sure, accuracy, error = classification.calibration(
        outputs, np.array([0, 1, 1])
    )
    assert counts.tolist() == [0] * 14 + [3]
    assert (sure[-1], accuracy[-1]) == (1, pytest.approx(2 / 3))
    assert error == pytest.approx(1 / 3)


def test_a_bin_has_its_upper_edge_and_not_its_lower():
    outputs = np.array([[0.4, 0.3, 0.3], [0.6, 0.4, 0.0]])  # 6/15 and 9/15
    counts, *_ = classification.calibration(outputs, np.array([0, 0]))
    assert np.flatnonzero(counts).tolist() == [5, 8]


def test_the_surest_mistakes_come_first(answers):
    outputs, labels = answers
    chosen = classification.most_confident_mistakes(outputs, labels)
    wrong = [
        (-row.max(), i)
        for i, row in enumerate(outputs.tolist() and outputs)
        if row.argmax() != labels[i]
    ]
    assert chosen.tolist() == [i for _, i in sorted(wrong)[:25]]


def test_class_names_of_all_kinds_are_drawn(answers, tmp_path, capfd):
    outputs, labels = answers
    odd = ["$5 bill $x$", "Ωμέγα", "ёжик", "漢字", "a\nb", "", "x" * 60, "y" * 60]
    names = [*odd, *(f"class {i}" for i in range(12))]
    many = [*odd, *(f"a long name of class {i}" for i in range(92))]
    counts = np.random.default_rng(0).integers(0, 9, (100, 100))
    with canvas.style(many):
        few = classification.confusion(
            classification.count_confusion(outputs, labels), names
        )
        canvas.save(few, tmp_path / "few.png")
        hundred = classification.confusion(counts, many)
        canvas.save(hundred, tmp_path / "many.png")
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
