"""Every command says which package is missing, and how to get it, in one line."""

from __future__ import annotations

import pytest

from tests.conftest import ROOT, check_user_error
from zoo import console


@pytest.mark.parametrize(
    "door", [(str(ROOT / "train.py"), "--help"), ("-m", "zoo"), ("-m", "export")]
)
def test_without_packages_the_environment_is_named(command, door, tmp_path):
    done = command("-S", *door)  # without site-packages
    check_user_error(
        done, r"^Error: .* \w+ is not installed .*: \. \.venv/bin/activate;", tmp_path
    )


def test_a_module_of_the_project_that_is_missing_is_a_bug():
    def command(argv):
        raise ModuleNotFoundError("No module named 'zoo.none'", name="zoo.none")

    with pytest.raises(ModuleNotFoundError, match=r"zoo\.none"):
        console.main(command)
