"""python -m zoo, as its users run it."""

from __future__ import annotations

import pathlib
import re

import pytest
from PIL import Image

from tests.conftest import check_user_error
from zoo.commands import cli
from zoo.errors import UserError


def test_the_zoo_as_a_table_and_a_page(command, capsys):
    done = command("-m", "zoo")
    assert done.returncode == 0, done.stderr
    row = r"convnet +6,434,122 +99\.\d\d% +6,\d{3},\d{3} +images +default, best, tut"
    assert re.search(row, done.stdout)
    assert re.search(r"linear +7,850 .* images, numbers +default", done.stdout)
    assert "parameters  MNIST accuracy  int8 bytes" in done.stdout
    assert re.search("weights +float accuracy  int8 accuracy", done.stdout)
    assert "- stands for what was not measured" in done.stdout
    cli.main(["zoo", "describe", "convnet"])
    page = capsys.readouterr().out
    assert re.search(r"conv +\(None, 28, 28, 32\) +320\n", page)
    assert re.search(r"pool +\(None, 14, 14, 32\) +0\n", page)
    assert "recipe tutorial: " in page
    assert "loss=cross_entropy_sum" in page


def test_a_run_answers(trained_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    test = trained_run.dataset.test
    run = f"--run_dir={trained_run.run.path}"
    cli.main(["zoo", "evaluate", run])
    accuracy = round(trained_run.result["test"]["accuracy"], 6)
    shown = capsys.readouterr().out
    assert shown == f"examples  {len(test.y)}\naccuracy  {accuracy}\n"
    # Pictures of another size and format than the model's.
    names = [f"{i}.bmp" for i in range(5)]
    for name, image in zip(names, test.x, strict=False):
        Image.fromarray(image[..., 0]).resize((90, 90)).save(name)
    cli.main(["zoo", "predict", run, *names])
    answers = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [answer[0] for answer in answers] == names
    assert [int(answer[1]) for answer in answers] == list(test.y[:5])
    assert all(0.2 < float(answer[2]) <= 1 for answer in answers)
    for name, image in zip(names, test.x, strict=False):
        Image.fromarray(255 - image[..., 0]).save(name)
    cli.main(["zoo", "predict", run, "--invert", *names])
    said = capsys.readouterr()
    answers = [line.split() for line in said.out.splitlines()]
    assert [int(answer[1]) for answer in answers] == list(test.y[:5])
    assert said.err == ""
    pathlib.Path("not.png").write_text("not an image")
    with pytest.raises(UserError, match="^not.png is not a PNG, JPEG, BMP, GIF"):
        cli.main(["zoo", "predict", run, "not.png"])


@pytest.mark.parametrize(
    ("arguments", "says", "not_its_own"),
    [
        ("--help", ("  evaluate  Evaluates a run", "  train     Tr"), "run_dir"),
        ("help", ("  evaluate  Evaluates a run",), "run_dir"),
        ("predict --help", ("predict --run_dir=R", "--artifact:"), "--output"),
        ("augment -h", ("--output: The PNG", "--seed: "), "--run_dir"),
        ("list --help", ("as a table",), "Flags"),
        ("train --help", ("--learning_rate:",), "--output"),
        ("export --help", ("--formats:",), "--model"),
        ("serve --help", ("--port:",), "--formats:"),
    ],
)
def test_help_is_that_of_the_command(command, arguments, says, not_its_own):
    done = command("-X", "importtime", "-m", "zoo", *arguments.split())
    assert done.returncode == 0
    assert all(text in done.stdout for text in says)
    assert not_its_own not in done.stdout
    assert "tensorflow.python" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("lst", "Unknown command 'lst'. Known: augment, describe, .*Did .*'list'"),
        ("list --modle", "Unknown command line flag 'modle'"),
        ("describe", "describe takes one model"),
        ("describe convnt", "Unknown model 'convnt'"),
        (
            "predict a.png",
            "predict takes a run, an artifact or pretrained weights, and im",
        ),
        ("predict --weights=mlp/mnist", "Received: --weights=mlp/mnist"),
        ("evaluate", "evaluate takes a run, an artifact or pretrained weights"),
        ("evaluate", "Received: nothing"),
        (
            "evaluate --artifact=a --weights=mlp/mnist",
            "evaluate takes .* Received: --artifact=a --weights=mlp/mnist",
        ),
        ("evaluate --run_dir=none", "There is no run directory none"),
        ("evaluate --output=a.png", "Unknown command line flag 'output'"),
        ("train --model=mlp --epochs=0", "--epochs must be"),
        ("export --run_dir=none", "There is no run directory none"),
        ("export --weights=mlp/mnist", "--out is missing: .* --out=runs/mlp-mnist"),
        ("export --weights=mlp/mnist --run_dir=a", "not into --run_dir. .*_dir=a"),
        ("serve --run_dir=none", "There is no run directory none"),
        ("augment --model=mlp", "augment takes --model and --output"),
        ("augment --model=mpl --output=a.png", "Unknown model 'mpl'"),
        ("augment --model=mlp --output=a.jpg", "must end in .png, in a dir"),
        ("augment --model=mlp --output=a.png --image_size=0", "--image_size must be"),
        ("augment --model=mlp --output=b/a.png", "must .*Received: b/a.png"),
        ("augment --model=mlp --output=a.png --augment=flp=1", "Unknown augm.* 'flp'"),
    ],
)
def test_a_wrong_command_is_explained(command, arguments, message, tmp_path):
    done = command("-X", "importtime", "-m", "zoo", *arguments.split())
    check_user_error(done, message, tmp_path)
