"""Trains a model of the zoo and leaves a directory ready for its users.

    python train.py --model=convnet
    python train.py --model=mlp --dataset=fashion_mnist --epochs=5
    python train.py --model=linear --recipe=tutorial

If pip has installed the zoo, `zoo train` is the same command.

Running the same command again resumes an unfinished run. For a finished run, it adds
the pictures and exports that are missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import export
from export import records
from zoo import startup
from zoo.commands import flags
from zoo.data import load
from zoo.errors import UserError
from zoo.recipe import Recipe, parse_augment
from zoo.training import config

if TYPE_CHECKING:
    from zoo.runs.run import Run

#: The flags whose text is parsed by a function.
PARSED = {
    "augment": parse_augment,
    "image_size": config.parse_image_size,
    "profile_steps": config.parse_profile_steps,
    "steps_per_execution": config.parse_steps_per_execution,
}
FLAGS = flags.Flags()
OF_CONFIG = FLAGS.define(config.Config, texts=PARSED)
OF_RECIPE = FLAGS.define(Recipe, texts=PARSED, unset=True)
FLAGS.set_default("steps_per_execution", "auto")
FLAGS.boolean("plots", True, "Draw pictures of the finished run.")
FLAGS.string(
    "export",
    ",".join(export.DEFAULT_FORMATS),
    f"What to export to, comma-separated: {', '.join(export.FORMATS)}; or none.",
)


def config_from_flags() -> config.Config:
    """Returns the configuration that the parsed flags ask for."""
    if FLAGS.model is None:
        raise UserError(f"--model is missing. {_suggestion(FLAGS.dataset)}")
    values = FLAGS.flag_values_dict()
    for name, parse in PARSED.items():
        if values[name] is not None:
            values[name] = parse(values[name])
    fields = {name: values[name] for name in OF_CONFIG}
    overrides = {k: values[k] for k in OF_RECIPE if values[k] is not None}
    return config.Config(overrides=overrides, **fields)


def _suggestion(dataset: str | None) -> str:
    """Suggests a model for the dataset."""
    hint = "`python -m zoo` lists the models."
    if dataset is not None and load.find(dataset, FLAGS.data_dir).is_tree:
        return f"For photographs begin with --model={config.PHOTOGRAPHS}; {hint}"
    return hint


def main(argv: list[str]) -> None:
    """Parses the flags and calls the zoo."""
    flags.parse_only(argv, __doc__, FLAGS)
    found = config.find(config_from_flags())
    formats = export.parse_formats(FLAGS.export)
    if formats:
        export.check_request(formats, {})
    startup.start(alone=found.cluster is None)
    from zoo.training import summary, trainer

    trained = trainer.train(found)
    if trained is None:  # another worker, the chief, prints and exports
        return
    print(summary.summary(trained))
    if FLAGS.plots:
        # Imported after the training, which need not wait for matplotlib.
        from zoo.plots.draw import draw_run

        draw_run(trained)
    if missing := missing_formats(trained, formats):
        from export.exporter import summarized

        with summarized(trained.run.path):
            export.export_run(trained, missing, plots=FLAGS.plots)


def missing_formats(trained: Run, formats: Sequence[str]) -> list[str]:
    """Returns the formats to which the run has not been exported yet.

    A format is among them if one of its files was left out.
    """
    content = records.read(trained.run.export)
    listed = content.artifacts if content else []
    present = {record.format for record in listed}
    gone = {r.format for r in listed if not (trained.run.export / r.path).exists()}
    gone |= {each.format for each in content.left_out} if content else set()
    return [name for name in formats if name not in present - gone]
