"""The commands of python -m zoo, mostly run in the process of the tests."""

from __future__ import annotations

import pathlib
import re

import pytest
from PIL import Image

from tests.conftest import check_user_error
from zoo import startup


def test_the_zoo_as_a_table(call):
    done = call()
    row = r"convnet +6,434,122 +[\d,]{9,} +99\.\d\d% +6,\d{3},\d{3} +images 28x28x1 +d"
    assert re.search(row, done.stdout)
    row = r"linear +7,850 +7,840 .* images 28x28x1, numbers +default"
    assert re.search(row, done.stdout)
    row = r"efficientnet_lite/imagenet +75\.1% +74\.4% +224x224x3 +TensorFlow's Eff"
    assert re.search(row, done.stdout)
    assert "parameters  multiply-adds  MNIST accuracy  int8 bytes" in done.stdout
    assert re.search("weights +float accuracy  int8 accuracy", done.stdout)
    assert "- stands for what was not measured" in done.stdout
    assert (done.returncode, done.stderr) == (0, "")


def test_an_architecture_as_a_page(call):
    page = call("describe", "convnet").stdout
    assert page.startswith("convnet: ")
    assert re.search(r"conv \(Conv2D\).*\(None, 28, 28, 32\).* 320 ", page)
    assert "Total params: 6,434,122" in page
    assert re.search("recipe tutorial: .*loss=cross_entropy_sum", page)


@pytest.mark.parametrize("flag", ["", "--run_dir="])
def test_a_run_answers(call, trained_run, flag):
    test, run = trained_run.dataset.test, f"{flag}{trained_run.run.path}"
    accuracy = round(trained_run.result["test"]["accuracy"], 6)
    done = call("evaluate", run)
    assert done.stdout == f"examples  {len(test.y)}\naccuracy  {accuracy}\n"
    # Pictures of another size and format than the model's.
    names = [f"{i}.bmp" for i in range(5)]
    for name, image in zip(names, test.x, strict=False):
        Image.fromarray(image[..., 0]).resize((90, 90)).save(name)
    answers = [line.split() for line in call("predict", run, *names).stdout.split("\n")]
    assert [answer[0] for answer in answers[:-1]] == names
    assert [int(answer[1]) for answer in answers[:-1]] == list(test.y[:5])
    assert all(0.2 < float(answer[2]) <= 1 for answer in answers[:-1])


def test_dark_ink_on_paper_is_inverted(call, trained_run):
    image, label = trained_run.dataset.test.x[0, ..., 0], trained_run.dataset.test.y[0]
    Image.fromarray(255 - image).save("a.png")
    done = call("predict", str(trained_run.run.path), "--invert", "a.png")
    assert done.stdout.startswith(f"a.png  {label}  ")
    assert "WARNING: " not in done.stderr  # about its brightness


def test_weights_answer(call):
    photo = str(pathlib.Path(startup.__file__).parent / "samples" / "horse.png")
    assert "  horse  " in call("predict", "resnet/cifar10", photo).stdout


@pytest.mark.parametrize(
    ("arguments", "says", "not_its_own"),
    [
        ("--help", ("  evaluate  Evaluates a run", "  train     Tr"), "run_dir"),
        ("predict --help", ("predict SOURCE", "--[no]invert:"), "--dataset"),
        ("evaluate -h", ("evaluate SOURCE", "--dataset:"), "--[no]invert"),
        ("list --help", ("as a table",), "Flags"),
        ("train --help", ("python train.py --model=", "--learning_rate:"), "--formats"),
        ("export --help", ("--formats:",), "--model"),
    ],
)
def test_help_is_that_of_the_command(call, arguments, says, not_its_own):
    done = call(*arguments.split())
    assert done.returncode == 0
    assert all(text in done.stdout for text in says)
    assert not_its_own not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("lst", "Unknown command 'lst'. Known: describe, .*Did .*'list'"),
        ("list all", "Only flags are taken. Received: all"),
        ("describe", "describe takes one model"),
        ("describe convnt", "Unknown model 'convnt'"),
        ("predict a.png", "predict takes a SOURCE and image files.*Received: a.png"),
        ("evaluate", "evaluate takes one SOURCE.* Received: nothing"),
        ("evaluate --artifact=a --weights=b", "Received: --artifact=a --weights=b"),
        ("evaluate none", "'none'"),
        ("export", "--run_dir is missing"),
        ("export --run_dir=none", "There is no run directory none"),
        ("export --run_dir=none --out=a", "--out belongs to --weights"),
        ("export --weights=mlp/mnist", "--out is missing: .* --out=runs/mlp-mnist"),
        ("export --weights=mlp/mnist --run_dir=a", "not into --run_dir. .*_dir=a"),
    ],
)
def test_a_mistake_is_explained_before_tensorflow_is_started(
    call, arguments, message, tmp_path, monkeypatch
):
    for name in ("start", "start_for_api"):
        monkeypatch.setattr(startup, name, lambda **_: pytest.fail("started"))
    check_user_error(call(*arguments.split()), message, tmp_path)


@pytest.mark.parametrize(
    "arguments", [("zoo", "predict", "none", "a.png"), ("export", "--run_dir=none")]
)
def test_a_mistake_gets_one_line_without_importing_tensorflow(
    command, arguments, tmp_path
):
    done = command("-X", "importtime", "-m", *arguments)
    check_user_error(done, "^Error: ", tmp_path)
