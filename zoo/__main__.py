"""Lists the zoo, describes its models, and asks trained ones.

    python -m zoo                                       the models as a table
    python -m zoo describe convnet                      layers, shapes, recipes
    python -m zoo predict --run_dir=R a.png b.png       class and probability
    python -m zoo evaluate --run_dir=R                  accuracy on the test split

predict and evaluate also take --artifact=R/export/tflite/model_int8.tflite, or any
other exported file.
"""

from __future__ import annotations

from absl import flags

from zoo import cli, registry, runtime
from zoo.errors import UserError, unknown
from zoo.rundir import finished_run

FLAGS = flags.FLAGS
flags.DEFINE_string("artifact", None, "A SavedModel's directory or a .tflite file.")
flags.DEFINE_string("run_dir", None, "The finished run to use.")


def main(argv: list[str]) -> None:
    """Parses the command and calls it."""
    command, *arguments = cli.parse_flags(argv, __doc__) or ["list"]
    if command not in COMMANDS:
        raise unknown("command", command, COMMANDS)
    COMMANDS[command](arguments)


def list_command(arguments: list[str]) -> None:
    """Prints the architectures as a table."""
    if arguments:
        raise UserError(f"list takes no arguments. Received: {' '.join(arguments)}.")
    runtime.start()
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
    runtime.start()
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
    runtime.start()
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
    runtime.start()
    from zoo import evaluation

    result = evaluation.evaluate(FLAGS.run_dir, FLAGS.artifact)
    for name, value in result.items():
        print(f"{name}  {value if name == 'examples' else round(value, 6)}")


def _check_run() -> None:
    # Answered before TensorFlow is imported.
    if FLAGS.run_dir:
        finished_run(FLAGS.run_dir)


COMMANDS = {
    "list": list_command,
    "describe": describe_command,
    "evaluate": evaluate_command,
    "predict": predict_command,
}

if __name__ == "__main__":
    cli.main(main)
