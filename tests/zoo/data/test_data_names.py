"""What a dataset's name stands for, and the answer to a wrong one."""

from pathlib import Path

import pytest

from zoo.data import load, names
from zoo.errors import UserError


@pytest.fixture
def data_dir(tmp_path):
    """A data directory that does not exist yet."""
    return str(tmp_path / "tfds")


@pytest.mark.parametrize(
    "name",
    [
        *("digits", "linear_regression", "mnist", "fashion_mnist", "kmnist", "beans"),
        *("cifar10", "emnist/letters", "mnist:3.0.1", "emnist/letters:3.1.0"),
        "tf_flowers",
    ],
)
def test_known_names(name, data_dir):
    load.check_name(name, data_dir)
    assert not Path(data_dir).exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("kmnst", "Did you mean 'kmnist'?"),
        ("digit", "Did you mean 'digits'?"),
        ("fashion-mnist", "Did you mean 'fashion_mnist'?"),
        ("emnist/leters", "Did you mean 'letters'?"),
        ("emnist/letters:9.9.9", "cannot be loaded at version 9.9.9"),
        ("mnist:9.9.9", "only: 3.0.1"),
        ("digits:2.0.0", "Unknown dataset"),
        ("", "Unknown dataset ''"),
        ("a b", "or a local directory"),
        ("huggingface:mnist", "Unknown dataset"),
        ("no/such/thing", "Unknown dataset"),
        ("x" * 300, "Unknown dataset"),
        ("imdb_reviews", "Its features: text (Text), label (ClassLabel)"),
        ("binarized_mnist", "not one of labeled images"),
        ("./nowhere", "does not exist"),
        ("/nowhere/at/all", "does not exist"),
        ("~/nowhere/at/all", "does not exist"),
    ],
)
def test_unknown_names(name, said, data_dir):
    for action in (
        lambda: load.check_name(name, data_dir),
        lambda: load.resolve(name, default="mnist", data_dir=data_dir),
        lambda: load.load(name, data_dir=data_dir),
    ):
        with pytest.raises(UserError) as caught:
            action()
        assert said in str(caught.value) and "\n" not in str(caught.value)
    assert not Path(data_dir).exists()


def test_known_names_win_over_directories_of_that_name(tmp_path, monkeypatch):
    for name in ("mnist", "mine", "my/own", "emnist/letters"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert not names.is_directory("mnist")
    assert not names.is_directory("digits")
    assert not names.is_directory("emnist/letters")
    for name in ("./mnist", "mine", "my/own", str(tmp_path / "mine"), "../x", "~/x"):
        assert names.is_directory(name)
