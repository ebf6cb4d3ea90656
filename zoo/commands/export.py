"""Exports a finished run, and proves every file on the whole test split.

python -m export --run_dir=runs/convnet-mnist
python -m export --run_dir=runs/convnet-mnist --formats=tflite
python -m export --run_dir=runs/convnet-mnist --formats=web
python -m export --run_dir=runs/convnet-mnist --formats=tflite_trainable \\
    --train_batch=16 --device_optimizer=momentum
"""

from __future__ import annotations

from export.formats import DEFAULT_FORMATS, FORMATS, check_request, parse_formats
from zoo import console, startup
from zoo.errors import UserError
from zoo.training.rundir import finished_run

FLAGS = console.Flags()
FLAGS.string("run_dir", None, "The finished run to export.")
FLAGS.string(
    "formats",
    ",".join(DEFAULT_FORMATS),
    f"Comma-separated: {', '.join(FORMATS)}.",
)
FLAGS.integer("train_batch", None, "Examples of a step of tflite_trainable. Unset: 16.")
FLAGS.string(
    "device_optimizer", None, "Of tflite_trainable: sgd or momentum. Unset: sgd."
)


def main(argv: list[str]) -> None:
    """Parses the flags and calls the export."""
    if extra := console.parse_flags(argv, __doc__, FLAGS):
        raise UserError(f"Only flags are taken. Received: {' '.join(extra)}.")
    if FLAGS.run_dir is None:
        raise UserError("--run_dir is missing: the finished run to export.")
    asked = parse_formats(FLAGS.formats), FLAGS.train_batch, FLAGS.device_optimizer
    # Before TensorFlow starts, which takes seconds.
    check_request(*asked)
    finished_run(FLAGS.run_dir)
    startup.start()
    from export import card, exporter

    content = exporter.export_run(FLAGS.run_dir, *asked)
    print(card.summary(content, FLAGS.run_dir))
