"""Tests the command lines of the comparisons."""

from __future__ import annotations

import re

import pytest

from benchmarks import comparison
from zoo.errors import UserError


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["benchmarks", "ft"], "Unknown comparison 'ft'. Known: device, fit, .*'fit'"),
        (["benchmarks", "startup", "--rounds=0"], "--rounds=0: .*positive integer"),
        (["benchmarks", "startup", "--round"], "Unknown .* 'round'.*--help lists"),
        (["benchmarks.growth", "--rounds=x"], "--rounds=x: invalid"),
        (["benchmarks.scaling", "mlp"], "Only flags are taken. Received: mlp"),
        (["benchmarks.large_data"], "--directory must be"),
        (["benchmarks.finetune"], "CIFAR10_DIR must be .* Received: /nowhere$"),
        (["benchmarks", "startup"], "MNIST_DIR must be .*train-images.* Received: /$"),
    ],
)
def test_a_mistake_gets_one_line(command, arguments, message):
    done = command("-m", *arguments, MNIST_DIR="/", CIFAR10_DIR="/nowhere")
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert re.search(message, line.removesuffix(".")), line


def test_peers_that_are_missing_are_named():
    comparison.require(["json", "numpy"])
    with pytest.raises(
        UserError, match="Not installed: nosuch_peer, other_peer. `make"
    ):
        comparison.require(["json", "nosuch_peer", "other_peer"])


@pytest.mark.parametrize(
    "module", ["benchmarks", "benchmarks.fit", "benchmarks.backup"]
)
def test_help_lists_the_flags(module, command):
    done = command("-m", module, "--help")
    assert done.returncode == 0, done.stderr
    assert "--rounds" in done.stdout
