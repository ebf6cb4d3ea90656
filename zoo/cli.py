"""Lists the zoo, describes its models, and asks trained ones.

    python -m zoo                                       the models as a table
    python -m zoo describe convnet                      layers, shapes, recipes
    python -m zoo predict --run_dir=R a.png b.png       class and probability
    python -m zoo evaluate --run_dir=R                  accuracy on the test split
    python -m zoo augment --model=mlp --output=a.png    what augmentation does, drawn

predict and evaluate also take --artifact=R/export/tflite/model_int8.tflite, or any
other exported file. augment also takes --recipe, --augment, --dataset,
--data_dir and --seed.
"""

from __future__ import annotations

import pathlib

from zoo import console, registry, startup
from zoo.errors import UserError, unknown
from zoo.recipe import Recipe, parse_augment
from zoo.training.rundir import finished_run

FLAGS = console.Flags()
FLAGS.string("artifact", None, "A SavedModel's directory or a .tflite file.")
FLAGS.string("run_dir", None, "The finished run to use.")
FLAGS.string("model", None, "augment: whose recipe.")
FLAGS.string("recipe", "default", "augment: one of the architecture's recipes.")
FLAGS.string("augment", None, "augment: instead of the recipe's, as flip=0.5.")
FLAGS.string("dataset", "digits", "augment: whose images, as for train.py.")
FLAGS.string("data_dir", None, "augment: where TFDS keeps prepared datasets.")
FLAGS.string("output", None, "augment: the PNG file to write.")
FLAGS.integer("seed", 0, "augment: of the run, 0 or more.", lower_bound=0)


def main(argv: list[str]) -> None:
    """Parses the command and calls it."""
    command, *arguments = console.parse_flags(argv, __doc__, FLAGS) or ["list"]
    if command not in COMMANDS:
        raise unknown("command", command, COMMANDS)
    COMMANDS[command](arguments)


def list_command(arguments: list[str]) -> None:
    """Prints the architectures as a table."""
    if arguments:
        raise UserError(f"list takes no arguments. Received: {' '.join(arguments)}.")
    startup.start()
    from zoo import catalog

    print(catalog.table())


def describe_command(arguments: list[str]) -> None:
    """Prints the layers, shapes and recipes of one architecture."""
    if len(arguments) != 1:
        raise UserError(
            f"describe takes one model. Received: {' '.join(arguments) or 'none'}. "
            f"Known: {', '.join(registry.list_models())}."
        )
    registry.check_model(arguments[0])
    startup.start()
    from zoo import catalog

    print(catalog.description(arguments[0]))


def predict_command(arguments: list[str]) -> None:
    """Prints the class and probability of image files."""
    if not (FLAGS.run_dir or FLAGS.artifact) or not arguments:
        raise UserError(
            "predict takes a run or an artifact, and image files: "
            "python -m zoo predict --run_dir=R a.png b.png"
        )
    _check_run()
    startup.start()
    from zoo import evaluation

    for path, name, probability in evaluation.predict_images(
        FLAGS.run_dir, FLAGS.artifact, arguments
    ):
        print(f"{path}  {name}  {probability:.4f}")


def evaluate_command(arguments: list[str]) -> None:
    """Prints the accuracy of a run or of an artifact on the whole test split."""
    if not (FLAGS.run_dir or FLAGS.artifact) or arguments:
        raise UserError(
            "evaluate takes a run or an artifact: python -m zoo evaluate --run_dir=R. "
            f"Received: {' '.join(arguments) or 'neither'}."
        )
    _check_run()
    startup.start()
    from zoo import evaluation

    result = evaluation.evaluate(FLAGS.run_dir, FLAGS.artifact)
    for name, value in result.items():
        print(f"{name}  {value if name == 'examples' else round(value, 6)}")


def augment_command(arguments: list[str]) -> None:
    """Draws what the augmentation of a recipe does to a dataset."""
    if not FLAGS.model or not FLAGS.output or arguments:
        raise UserError(
            "augment takes --model and --output: "
            "python -m zoo augment --model=convnet --output=augmentations.png. "
            f"Received: {' '.join(arguments) or 'not both'}."
        )
    registry.check_model(FLAGS.model)
    registry.check_recipe(FLAGS.model, FLAGS.recipe)
    strengths = parse_augment(FLAGS.augment)
    Recipe(augment=strengths or {})
    path = pathlib.Path(FLAGS.output)
    if path.suffix != ".png" or not path.parent.is_dir():
        raise UserError(
            "--output must end in .png, in a directory that exists. "
            f"Received: {FLAGS.output}."
        )
    startup.start()
    from zoo.plots import augmentations

    augmentations.write(
        path,
        FLAGS.model,
        FLAGS.recipe,
        FLAGS.dataset,
        strengths=strengths,
        data_dir=FLAGS.data_dir,
        seed=FLAGS.seed,
    )
    print(path)


def _check_run() -> None:
    # Answered before TensorFlow is imported.
    if FLAGS.run_dir:
        finished_run(FLAGS.run_dir)


COMMANDS = {
    "augment": augment_command,
    "list": list_command,
    "describe": describe_command,
    "evaluate": evaluate_command,
    "predict": predict_command,
}
