"""Prints the architectures and the pretrained weights as a table.

python -m zoo list
"""

from __future__ import annotations

from zoo import registry, startup
from zoo.commands import flags
from zoo.console import align
from zoo.data.dataset import dimensions
from zoo.records import results, weights

FLAGS = flags.Flags()
NOTES = """
Parameters are for 10 classes and images of the size in the table; others are possible.
The accuracy is that of the float model of the default recipe on MNIST's test split, and
int8 bytes is the size of its model_int8.tflite. - stands for what was not measured.
"""


def main(argv: list[str]) -> None:
    """Parses the flags and prints the tables."""
    flags.parse_only(argv, __doc__, FLAGS)
    startup.start()
    print(tables())


def tables() -> str:
    """Returns the tables of the architectures and of the pretrained weights."""
    measured = {
        row.model: row
        for row in results.load()
        if (row.recipe, row.dataset) == ("default", "mnist")
    }
    rows = [("model", "parameters", "MNIST accuracy", "int8 bytes", "input", "recipes")]
    for name in registry.list_models():
        architecture = registry.get_architecture(name)
        model = architecture.model_class(10)
        model.build((None, *architecture.example_shape))
        takes = f"images {dimensions(architecture.example_shape)}"
        if 1 in architecture.model_class.example_ranks:
            takes += ", numbers"
        accuracy = size = "-"
        if result := measured.get(name):
            accuracy = f"{result.accuracy:.2%}"
            if int8 := result.artifacts.get("int8"):
                size = f"{int8.bytes:,}"
        count, recipes = f"{model.count_params():,}", ", ".join(architecture.recipes)
        rows.append((name, count, accuracy, size, takes, recipes))
    pretrained = [
        (
            "pretrained weights",
            "float accuracy",
            "int8 accuracy",
            "parameters",
            "file bytes",
            "input",
        )
    ]
    for name in weights.list_weights():
        info = weights.weights_info(*name.split("/", 1))
        percents = (f"{info.accuracy:.2%}", f"{info.int8_accuracy:.2%}")
        counts = (f"{info.parameters:,}", f"{info.bytes:,}")
        pretrained.append((name, *percents, *counts, dimensions(info.input_shape)))
    return "\n".join([*align(rows), NOTES, *align(pretrained)])
