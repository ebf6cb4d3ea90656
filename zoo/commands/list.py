"""Prints the architectures and the pretrained weights as a table.

python -m zoo list
"""

from __future__ import annotations

from zoo import registry, startup
from zoo.commands import flags
from zoo.console import align
from zoo.data.dataset import dimensions
from zoo.records import published, results, weights

FLAGS = flags.Flags()
NOTES = """
Parameters and multiply-adds are for 10 classes and images of the size in the table.
Other numbers of classes and other sizes are possible.
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
    from zoo.models import build

    rows = [
        (
            "model",
            "parameters",
            "multiply-adds",
            "MNIST accuracy",
            "int8 bytes",
            "input",
            "recipes",
        )
    ]
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
        counts = (f"{model.count_params():,}", f"{build.multiply_adds(model):,}")
        recipes = ", ".join(architecture.recipes)
        rows.append((name, *counts, accuracy, size, takes, recipes))
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
    for name in weights.list_shipped():
        info = weights.weights_info(*name.split("/", 1))
        assert isinstance(info, weights.WeightsInfo)
        percents = (f"{info.accuracy:.2%}", f"{info.int8_accuracy:.2%}")
        counts = (f"{info.parameters:,}", f"{info.bytes:,}")
        pretrained.append((name, *percents, *counts, dimensions(info.input_shape)))
    outside = [("ImageNet weights", "float accuracy", "int8 accuracy", "input", "from")]
    for name, known in sorted(published.PUBLISHED.items()):
        quantized = f"{known.int8_accuracy:.1%}" if known.int8_accuracy else "-"
        percents = (f"{known.accuracy:.1%}", quantized)
        outside.append((name, *percents, dimensions(known.input_shape), known.source))
    tables = [*align(rows), NOTES, *align(pretrained), "", *align(outside)]
    return "\n".join(tables)
