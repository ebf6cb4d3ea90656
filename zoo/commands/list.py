"""Prints the architectures and the pretrained weights as a table.

python -m zoo list
"""

from __future__ import annotations

from typing import Any

from zoo import pretrained, registry, startup
from zoo.commands import flags
from zoo.console import align
from zoo.records import results

FLAGS = flags.Flags()
# The images and classes for which parameters are counted.
IMAGES: dict[str, Any] = {"input_shape": (28, 28, 1), "num_classes": 10}


def main(argv: list[str]) -> None:
    """Parses the flags and prints the tables."""
    flags.parse_only(argv, __doc__, FLAGS)
    startup.start()
    print(table())


def table() -> str:
    """Returns the tables of the architectures and of the pretrained weights."""
    measured = {
        row.model: row
        for row in results.load()
        if (row.recipe, row.dataset) == ("default", "mnist")
    }
    rows = [("model", "parameters", "MNIST accuracy", "int8 bytes", "input", "recipes")]
    for name in registry.list_models():
        model = registry.create_model(name, **IMAGES)
        ranks = registry.get_architecture(name).model_class.example_ranks
        takes = "images, numbers" if 1 in ranks else "images"
        recipes = ", ".join(registry.list_recipes(name))
        accuracy = size = "-"
        if result := measured.get(name):
            accuracy = f"{result.accuracy:.2%}"
            if int8 := result.artifacts.get("int8"):
                size = f"{int8.bytes:,}"
        rows.append((name, f"{model.count_params():,}", accuracy, size, takes, recipes))
    notes = [
        "",
        "Parameters are for 28x28x1 images of 10 classes. The accuracy is that of the",
        "float model of the default recipe on MNIST's test split; int8 bytes is the",
        "size of its model_int8.tflite. - stands for what was not measured.",
    ]
    return "\n".join([*align(rows), *notes, *_weights()])


def _weights() -> list[str]:
    """Returns the table of the pretrained weights, if there are any."""
    rows = [
        (
            "pretrained weights",
            "float accuracy",
            "int8 accuracy",
            "parameters",
            "file bytes",
            "input",
        )
    ]
    for name in pretrained.list_weights():
        info = pretrained.find(name)
        percents = (f"{info.accuracy:.2%}", f"{info.int8_accuracy:.2%}")
        shape = "x".join(map(str, info.input_shape))
        rows.append((name, *percents, f"{info.parameters:,}", f"{info.bytes:,}", shape))
    return ["", *align(rows)] if len(rows) > 1 else []
