"""Lists the zoo, describes its models, and uses trained ones.

    python -m zoo COMMAND [ARGUMENTS] [FLAGS]
    python -m zoo COMMAND --help

Without a command the models are listed.
"""

from __future__ import annotations

import pathlib

from zoo import console, registry, startup
from zoo.errors import UserError, unknown
from zoo.recipe import Recipe, parse_augment
from zoo.training.rundir import finished_run

NONE = console.Flags()

AUGMENT = console.Flags()
AUGMENT.string("model", None, "Whose recipe to draw; `python -m zoo` lists the models.")
AUGMENT.string("recipe", "default", "One of the architecture's recipes.")
AUGMENT.string("augment", None, "Draw these instead of the recipe's, such as flip=0.5.")
AUGMENT.string("dataset", "digits", "Whose images to draw, as for train.py.")
AUGMENT.string("data_dir", None, "Where TFDS keeps prepared datasets.")
AUGMENT.string("output", None, "The PNG file to write.")
AUGMENT.integer("seed", 0, "Seed of the run, 0 or more.", lower_bound=0)

EVALUATE, PREDICT = console.Flags(), console.Flags()
for _flags in (EVALUATE, PREDICT):
    _flags.string("run_dir", None, "The finished run to use.")
    _flags.string(
        "artifact",
        None,
        "The exported file to use instead: a SavedModel's directory or a .tflite file, "
        "such as R/export/tflite/model_int8.tflite.",
    )


def main(argv: list[str]) -> None:
    """Runs the command that the first argument names."""
    name, *arguments = argv[1:] or ["list"]
    if name in console.HELP:
        lines = [
            (n, command.__doc__.splitlines()[0]) for n, command in COMMANDS.items()
        ]
        print(f"{__doc__.strip()}\n\nCommands:\n")
        print("\n".join(f"  {line}" for line in console.align(lines)))
    elif name in COMMANDS:
        COMMANDS[name]([name, *arguments])
    else:
        raise unknown("command", name, COMMANDS)


def list_command(argv: list[str]) -> None:
    """Prints the architectures as a table.

    python -m zoo list
    """
    if extra := console.parse_flags(argv, list_command.__doc__, NONE):
        raise UserError(f"list takes no arguments. Received: {' '.join(extra)}.")
    startup.start()
    from zoo import catalog

    print(catalog.table())


def describe(argv: list[str]) -> None:
    """Prints the layers, shapes and recipes of one architecture.

    python -m zoo describe convnet
    """
    names = console.parse_flags(argv, describe.__doc__, NONE)
    if len(names) != 1:
        raise UserError(
            f"describe takes one model. Received: {' '.join(names) or 'none'}. "
            f"Known: {', '.join(registry.list_models())}."
        )
    registry.check_model(names[0])
    startup.start()
    from zoo import catalog

    print(catalog.description(names[0]))


def predict(argv: list[str]) -> None:
    """Prints the class and its probability for image files.

    python -m zoo predict --run_dir=R a.png b.png
    """
    paths = console.parse_flags(argv, predict.__doc__, PREDICT)
    if not (PREDICT.run_dir or PREDICT.artifact) or not paths:
        raise UserError(
            "predict takes a run or an artifact, and image files: "
            "python -m zoo predict --run_dir=R a.png b.png"
        )
    if PREDICT.run_dir:
        finished_run(PREDICT.run_dir)  # is explained before TensorFlow is imported
    startup.start()
    from zoo import evaluation

    for path, name, probability in evaluation.predict_images(
        PREDICT.run_dir, PREDICT.artifact, paths
    ):
        print(f"{path}  {name}  {probability:.4f}")


def evaluate(argv: list[str]) -> None:
    """Prints the accuracy of a run or of an artifact on the whole test split.

    python -m zoo evaluate --run_dir=R
    """
    extra = console.parse_flags(argv, evaluate.__doc__, EVALUATE)
    if not (EVALUATE.run_dir or EVALUATE.artifact) or extra:
        raise UserError(
            "evaluate takes a run or an artifact: python -m zoo evaluate --run_dir=R. "
            f"Received: {' '.join(extra) or 'neither'}."
        )
    if EVALUATE.run_dir:
        finished_run(EVALUATE.run_dir)
    startup.start()
    from zoo import evaluation

    result = evaluation.evaluate(EVALUATE.run_dir, EVALUATE.artifact)
    for name, value in result.items():
        print(f"{name}  {value if name == 'examples' else round(value, 6)}")


def augment(argv: list[str]) -> None:
    """Draws what the augmentation of a recipe does to a dataset.

    python -m zoo augment --model=mlp --output=a.png
    """
    extra = console.parse_flags(argv, augment.__doc__, AUGMENT)
    if not AUGMENT.model or not AUGMENT.output or extra:
        raise UserError(
            "augment takes --model and --output: "
            "python -m zoo augment --model=convnet --output=augmentations.png. "
            f"Received: {' '.join(extra) or 'not both'}."
        )
    registry.check_model(AUGMENT.model)
    strengths = parse_augment(AUGMENT.augment)
    Recipe(augment=strengths or {})  # checks them
    path = pathlib.Path(AUGMENT.output)
    if path.suffix != ".png" or not path.parent.is_dir():
        raise UserError(
            "--output must end in .png, in a directory that exists. "
            f"Received: {AUGMENT.output}."
        )
    startup.start()
    registry.get_recipe(AUGMENT.model, AUGMENT.recipe)
    from zoo.plots.augmentations import save_augmentations

    save_augmentations(
        path,
        AUGMENT.model,
        AUGMENT.recipe,
        AUGMENT.dataset,
        strengths=strengths,
        data_dir=AUGMENT.data_dir,
        seed=AUGMENT.seed,
    )
    print(path)


#: Each takes its name and what follows it, and parses flags of its own.
COMMANDS = {
    "list": list_command,
    "describe": describe,
    "augment": augment,
    "evaluate": evaluate,
    "predict": predict,
}
