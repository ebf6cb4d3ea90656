"""Tests what pip installs: dependencies, files of the wheel, commands."""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile

import pytest
import yaml
from packaging.requirements import Requirement

from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def pins(name):
    """Returns the packages of a requirements file with their versions."""
    lines = (ROOT / name).read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


@pytest.mark.parametrize(
    ("name", "ranges"),
    [
        (
            "requirements.txt",
            [
                *PROJECT["dependencies"],
                *EXTRAS["imagenet"],
                *EXTRAS["serve"],
                *EXTRAS["dev"],
            ],
        ),
        ("benchmarks/requirements.txt", EXTRAS["bench"]),
    ],
)
def test_the_pins_are_the_dependencies(name, ranges):
    needed = {r.name: r.specifier for r in map(Requirement, ranges)}
    needed.pop(PROJECT["name"], None)  # [dev] includes other extras
    pinned = pins(name)
    assert pinned.keys() == needed.keys()
    wrong = {n: v for n, v in pinned.items() if not needed[n].contains(v)}
    assert not wrong


def test_pre_commit_runs_the_same_ruff():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    (ruff,) = [repo for repo in hooks["repos"] if "ruff" in repo["repo"]]
    assert ruff["rev"] == f"v{pins('requirements.txt')['ruff']}"


def committed():
    """Returns the paths of all files that git tracks or could add."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(
            listing, cwd=ROOT, capture_output=True, check=True, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("git cannot list the files of this directory")
    paths = map(pathlib.PurePath, done.stdout.splitlines())
    return [path for path in paths if (ROOT / path).is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel, built from a copy because the build writes into the tree."""
    source = tmp_path_factory.mktemp("source")
    for path in committed():
        if path.parts[0] in ("zoo", "export", "pyproject.toml", "README.md", "LICENSE"):
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, source / path)
    # Without isolation, setuptools is not downloaded.
    options = ["--no-deps", "--no-build-isolation", "--wheel-dir=dist"]
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", ".", *options]
    subprocess.run(build, cwd=source, check=True)
    (path,) = source.glob("dist/*.whl")
    return path


def test_the_wheel_has_every_file_of_the_packages(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    packages = [path for path in committed() if path.parts[0] in ("zoo", "export")]
    assert names == {path.as_posix() for path in packages}


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Runs a command of a fresh environment, far from the checkout."""
    place = tmp_path_factory.mktemp("installed")
    venv.create(place / "venv")
    pip = [sys.executable, "-m", "pip", "--quiet", "--python", place / "venv"]
    subprocess.run([*pip, "install", "--no-deps", wheel], check=True)
    # The new environment uses TensorFlow and other packages of this one.
    (site,) = (place / "venv").glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (place / "work").mkdir()

    def run(program, *arguments):
        done = subprocess.run(
            [place / "venv" / "bin" / program, *arguments],
            cwd=place / "work",
            env={"HOME": str(place), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_the_installed_command_is_that_of_the_wheel(installed):
    assert re.search(r"\n  train +Trains", installed("zoo", "--help"))
    code = "import export, zoo; print(zoo.__file__, export.__file__, zoo.list_models())"
    where = installed("python", "-c", code)
    assert where.count("/venv/lib/python") == 2
    assert "convnet" in where


@pytest.mark.slow
def test_the_installed_zoo_trains_exports_and_answers(installed):
    assert "99." in installed("zoo", "list")
    run = "--run_dir=runs/linear-digits"
    flags = ["--model=linear", "--dataset=digits", "--epochs=1"]
    installed("zoo", "train", *flags, "--export=tflite")
    assert "saved_model" in installed("zoo", "export", run, "--formats=saved_model")
    assert "accuracy" in installed("zoo", "evaluate", run)
    picture = "runs/linear-digits/plots/curves.png"
    assert picture in installed("zoo", "predict", run, picture)
