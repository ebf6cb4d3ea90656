"""Exports a finished run, and proves every file on the whole test split.

python -m export --run_dir=runs/convnet-mnist
python -m export --run_dir=runs/convnet-mnist --formats=tflite
python -m export --run_dir=runs/convnet-mnist --formats=web
python -m export --run_dir=runs/convnet-mnist --formats=tflite_trainable \\
    --train_batch=16 --device_optimizer=momentum
"""

from __future__ import annotations

from export.formats import (
    DEFAULT_FORMATS,
    DEVICE_OPTIMIZERS,
    FORMATS,
    check_device_options,
    check_node,
    parse_formats,
)
from zoo import console, startup
from zoo.errors import UserError
from zoo.training.rundir import finished_run

FLAGS = console.Flags()
FLAGS.string("run_dir", None, "The finished run to export.")
FLAGS.string(
    "formats", ",".join(DEFAULT_FORMATS), f"Comma-separated: {', '.join(FORMATS)}."
)

FLAGS.integer("train_batch", None, "Examples of a step of tflite_trainable. Unset: 16.")
FLAGS.string(
    "device_optimizer",
    None,
    f"Of tflite_trainable: {' or '.join(DEVICE_OPTIMIZERS)}. Unset: "
    f"{DEVICE_OPTIMIZERS[0]}.",
)


def main(argv: list[str]) -> None:
    """Parses the flags and calls the export."""
    if extra := console.parse_flags(argv, __doc__, FLAGS):
        raise UserError(f"Only flags are taken. Received: {' '.join(extra)}.")
    if FLAGS.run_dir is None:
        raise UserError("--run_dir is missing: the finished run to export.")
    formats = parse_formats(FLAGS.formats)
    if not formats:
        raise UserError(f"--formats names nothing. Known: {', '.join(FORMATS)}.")
    device = {
        "train_batch": FLAGS.train_batch,
        "device_optimizer": FLAGS.device_optimizer,
    }
    check_device_options(formats, **device)
    check_node(formats)
    finished_run(FLAGS.run_dir)
    startup.start()
    from export import exporter, summary

    content = exporter.export_run(FLAGS.run_dir, formats, **device)
    print(summary.summary(content, FLAGS.run_dir))


if __name__ == "__main__":
    console.main(main)
