"""Trains a model of the zoo and leaves a directory ready for its users.

    python train.py --model=convnet
    python train.py --model=mlp --dataset=fashion_mnist --epochs=5
    python train.py --model=linear --recipe=tutorial

If pip has installed the zoo, `zoo train` is the same command.

Running the same command again resumes an unfinished run. For a finished run, it adds
the pictures and exports that are missing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import export
from zoo import console, registry, startup
from zoo.data import load
from zoo.errors import UserError
from zoo.recipe import Recipe, parse_augment
from zoo.training import config

if TYPE_CHECKING:
    from zoo.runs.run import TrainedRun

FLAGS = console.Flags()


def _choice(name: str, text: str) -> None:
    default = getattr(config.Config, name)
    FLAGS.enum(name, default, config.CHOICES[name], text)


FLAGS.string("model", None, "Architecture to train; `python -m zoo` lists them.")
FLAGS.string("recipe", "default", "One of the architecture's recipes.")
FLAGS.string(
    "dataset",
    None,
    "A TFDS image-classification name (mnist, emnist/letters, cifar10, ...), digits, "
    "linear_regression, or a directory with four IDX files or a tree of images. "
    "Unset: linear_regression for linear, cifar10 for resnet, else mnist.",
)
FLAGS.string("data_dir", None, "Where TFDS keeps prepared datasets.")
FLAGS.string("image_size", None, "Stretch images to SIZE or HEIGHTxWIDTH pixels.")
FLAGS.string(
    "weights",
    None,
    "Start from pretrained weights: DATASET or DATASET/RECIPE of `python -m zoo list`, "
    "a run directory or a .keras file. Other classes get a new head, and files outside "
    "a run always do. Unless --image_size is set, images are resized to the size that "
    "the weights were trained on, if that is known.",
)
FLAGS.string(
    "freeze",
    None,
    "With --weights: do not train the layers before this one, such as head or stage3; "
    "or none.",
)
FLAGS.boolean("skip_damaged", False, "Leave out images that do not decode.")
FLAGS.string("run_dir", None, "Run directory. Unset: runs/MODEL-DATASET.")
FLAGS.boolean("overwrite", False, "Replace the run that is in --run_dir.")
FLAGS.integer("seed", 0, "Seed of everything random: 0 to 2**31 - 1.")
FLAGS.integer("epochs", None, "Rounds of training.")
FLAGS.integer("batch_size", None, "Examples in a batch.")
FLAGS.float("learning_rate", None, "The optimizer's (highest) learning rate.")
FLAGS.string("optimizer", None, "A Keras optimizer's name, such as sgd or adam.")
FLAGS.float("momentum", None, "Momentum of sgd and rmsprop, as in Keras.")
FLAGS.boolean("nesterov", None, "Nesterov momentum of sgd, as in Keras.")
FLAGS.float("weight_decay", None, "Decoupled weight decay, as in Keras.")
FLAGS.string("schedule", None, "Learning rate over time: constant or cosine.")
FLAGS.string("augment", None, "Image changes, such as shift=0.1,flip=0.5; or none.")
FLAGS.string(
    "steps_per_execution",
    "auto",
    "Steps in one call of TensorFlow; auto: the recipe's.",
)
_choice(
    "strategy",
    "Devices to train on. one; mirrored: all devices of this machine; multi_worker: "
    "the workers in TF_CONFIG or of a Slurm job; tpu; auto: all that are found. They "
    "share each batch of --batch_size examples.",
)
_choice(
    "class_weights",
    "How much each example counts in the loss. balanced: classes count the same, "
    "however many images they have.",
)
_choice("precision", "Type of computations; weights and exports are float32.")
_choice("jit_compile", "Compile with XLA. auto: on an accelerator only.")
FLAGS.boolean("gradient_norm", False, "Report the global norm of the gradients.")
FLAGS.boolean("plots", True, "Draw pictures of the finished run.")
FLAGS.boolean("tensorboard", True, "Write scalars for `make tensorboard`.")
FLAGS.boolean("histograms", False, "Write histograms of the weights too.")
FLAGS.string("profile_steps", None, "First and last step to profile, such as 10,20.")
FLAGS.integer("eval_every", 1, "Epochs between evaluations while training.")
FLAGS.float(
    "validation",
    None,
    "Share of the training split to hold out and to evaluate while training, such as "
    "0.1; the test split is then evaluated once, at the end. Unset: the test split is "
    "evaluated while training.",
)
FLAGS.integer(
    "backup_steps",
    None,
    "Steps between backups. Unset: about every 30 s and after each epoch, but less "
    "often if backups would take more than 1/60 of the time.",
)
FLAGS.boolean(
    "deterministic",
    False,
    "Give the same bits in every run on the same machine, even in one that was killed "
    "and resumed. Without it, batches are the same, but weights differ by rounding. "
    "Small models train about a tenth slower, large ones less.",
)
_choice(
    "progress",
    "What is shown while training. auto: bars on a terminal, else a line per epoch.",
)
FLAGS.string(
    "export",
    ",".join(export.DEFAULT_FORMATS),
    f"What to export to, comma-separated: {', '.join(export.FORMATS)}; or none.",
)

# The flags whose text is parsed by a function.
PARSED_FLAGS = {
    "augment": parse_augment,
    "image_size": config.parse_image_size,
    "profile_steps": config.parse_profile_steps,
    "steps_per_execution": config.parse_steps_per_execution,
}


def config_from_flags() -> config.Config:
    """Returns the configuration that the parsed flags ask for."""
    if FLAGS.model is None:
        raise UserError(f"--model is missing. {_suggestion(FLAGS.dataset)}")
    values = FLAGS.flag_values_dict()
    values |= {name: parse(values[name]) for name, parse in PARSED_FLAGS.items()}
    # The flag --model names an architecture; a recipe's field has its arguments.
    of_recipe = {field.name for field in dataclasses.fields(Recipe)} - {"model"}
    overrides = {k: v for k, v in values.items() if k in of_recipe and v is not None}
    of_config = {field.name for field in dataclasses.fields(config.Config)}
    fields = {k: v for k, v in values.items() if k in of_config}
    return config.Config(overrides=overrides, **fields)


def _suggestion(dataset: str | None) -> str:
    """Suggests a model for the dataset."""
    hint = "`python -m zoo` lists the models."
    if dataset is not None and load.find(dataset, FLAGS.data_dir).is_tree:
        return f"For photographs begin with --model={config.PHOTOGRAPHS}; {hint}"
    return hint


def main(argv: list[str]) -> None:
    """Parses the flags and calls the zoo."""
    if extra := console.parse_flags(argv, __doc__, FLAGS):
        raise UserError(f"Only flags are taken. Received: {' '.join(extra)}.")
    asked = config_from_flags()
    found = config.find(asked)
    formats = export.parse_formats(FLAGS.export)
    export.check_node(formats)
    startup.start(alone=found.cluster is None)
    from zoo.plots.draw import draw_run
    from zoo.training import summary, trainer

    if asked.dataset is None and asked.shown != "none":
        default = registry.get_architecture(asked.model).model_class.default_dataset
        others = ", such as mnist" if default == "linear_regression" else ""
        said = f"The dataset is {default}, the default of {asked.model}"
        print(f"{said}; --dataset chooses another{others}.", flush=True)
    trained = trainer.train(found)
    if trained is None:  # another worker, the chief, prints and exports
        return
    print(summary.summary(trained))
    if FLAGS.plots:
        draw_run(trained)
    if missing := missing_formats(trained, formats):
        from export.card import summary as export_summary

        content = export.export_run(trained, missing, plots=FLAGS.plots)
        print("\n" + export_summary(content, trained.run.path))


def missing_formats(trained: TrainedRun, formats: Sequence[str]) -> list[str]:
    """Returns the formats to which the run has not been exported yet."""
    content = trained.run.read_export() or {"artifacts": []}
    present = {record["format"] for record in content["artifacts"]}
    if content.get("page"):
        present.add("web")
    return [name for name in formats if name not in present]
