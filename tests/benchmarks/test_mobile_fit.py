"""Tests the shares of operations, and what happens without torchvision."""

from __future__ import annotations

import pytest

from benchmarks import document, mobile_fit


def test_operations_are_summed_by_kind_without_those_that_run_others():
    events = [
        ("model/stem/conv:Conv2D", 5),
        ("model/top/conv:Conv2D", 1),
        ("model/stem/relu:Relu6", 2),
        ("call:StatefulPartitionedCall", 100),
        ("EagerLocalExecute: Mul", 100),
        ("ExecutorState::Process", 100),
    ]
    assert mobile_fit.shares(events) == {"Conv2D": 0.75, "Relu6": 0.25}


@pytest.mark.parametrize("python", ["/nowhere/python", "false"])
def test_pytorch_is_left_out_if_it_is_not_there(python, monkeypatch, capfd):
    monkeypatch.setenv("TORCH_PYTHON", python)
    assert mobile_fit.torch_python() is None
    said = f"PyTorch is left out, because {python} cannot import torchvision."
    assert said in capfd.readouterr().err


def test_the_faster_layout_of_pytorch_counts_and_rare_operations_are_summed():
    alone = {"zoo, from scratch": 20.0, "zoo, fine-tuning": 30.0}
    layouts = {"PyTorch, nchw": 8.0, "PyTorch, channels last": 10.0}
    result = {
        "models": {
            "mobilenet_v2": {
                "examples_per_second": alone | layouts,
                "zoo_times_as_fast": {name: 20 / v for name, v in layouts.items()},
            },
            "efficientnet_lite": {
                "examples_per_second": alone,
                "zoo_times_as_fast": {},
            },
        },
        "files": [
            {
                "model": "mobilenet_v2",
                "recipe": "small",
                "side": 96,
                "file": "int8",
                "bytes": 723_456,
                "ms": 0.512,
            }
        ],
        "operations": {"Conv2D": 0.9, "Mul": 0.095, "Sub": 0.003, "Add": 0.002},
    }
    texts = mobile_fit.tables(result)
    assert all(document.where(marker) for marker in texts)
    assert (
        "| mobilenet_v2 | PyTorch, channels last | 10.0 | 2.00 |\n"
        in (texts["mobile_fit"])
    )
    row = "| mobilenet_v2, recipe small, 96 px | int8 | 723,456 | 0.51 |\n"
    assert row in texts["files of networks for phones"]
    assert "nchw" not in texts["mobile_fit"]
    assert texts["operations of a step"].endswith(
        "| `Conv2D` | 90.0% |\n| `Mul` | 9.5% |\n| all others | 0.5% |\n"
    )
