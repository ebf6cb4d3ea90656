"""Exports a finished run, and verifies every file on the whole test split.

Files that miss their bounds are left out; the exit code is then 1.

python -m export --run_dir=runs/convnet-mnist
python -m export --run_dir=runs/convnet-mnist --formats=tflite
python -m export --run_dir=runs/convnet-mnist --tflite_files=int8,float32
python -m export --run_dir=runs/convnet-mnist --formats=web
python -m export --weights=mlp/mnist --out=runs/mlp-mnist
python -m export --run_dir=runs/convnet-mnist --formats=tflite_trainable \\
    --train_batch=16 --device_optimizer=momentum
"""

from __future__ import annotations

from export.formats import (
    DEFAULT_FORMATS,
    FORMATS,
    check_request,
    parse_formats,
)
from zoo import startup
from zoo.commands import flags
from zoo.errors import UserError, unknown
from zoo.records import weights
from zoo.records.rundir import finished_run

FLAGS = flags.Flags()
FLAGS.string("run_dir", None, "The finished run to export.")
FLAGS.string(
    "weights",
    None,
    "The pretrained weights to export instead, such as mlp/mnist; `python -m zoo list` "
    "lists them.",
)
FLAGS.string("out", None, "With --weights: the run directory to write them into.")
FLAGS.string(
    "dataset",
    None,
    "With --weights: the dataset to verify the files on, as for train.py. Unset: the "
    "one that they were trained on, or a sample of it if that is not on this machine.",
)
FLAGS.string(
    "formats",
    ",".join(DEFAULT_FORMATS),
    f"Comma-separated: {', '.join(FORMATS)}.",
)
OPTIONS = {
    name: option
    for format in FORMATS.values()
    for name, option in format.options.items()
}
for _name, _option in OPTIONS.items():
    FLAGS.string(_name, None, _option.help)


def main(argv: list[str]) -> None:
    """Parses the flags and calls the export."""
    flags.parse_only(argv, __doc__, FLAGS)
    formats = parse_formats(FLAGS.formats)
    options = {name: FLAGS[name].value for name in OPTIONS}
    # All checks come before TensorFlow starts, which takes seconds.
    check_request(formats, options)
    if FLAGS.weights is not None:
        _check_weights()
    else:
        if FLAGS.run_dir is None:
            raise UserError(
                "--run_dir is missing: the finished run to export. Or pass --weights."
            )
        for name in ("out", "dataset"):
            if value := FLAGS[name].value:
                raise UserError(
                    f"--{name} belongs to --weights. Received: --{name}={value}."
                )
        finished_run(FLAGS.run_dir)
    startup.start()
    from export import exporter

    with exporter.summarized(FLAGS.run_dir or FLAGS.out):
        if FLAGS.weights is not None:
            exporter.export_weights(
                FLAGS.weights, FLAGS.out, formats, dataset=FLAGS.dataset, **options
            )
        else:
            exporter.export_run(FLAGS.run_dir, formats, **options)


def _check_weights() -> None:
    """Raises UserError unless there are such weights, and a place to write them to."""
    if weights.run_of(FLAGS.weights) is None:
        raise unknown(
            "weights that come with the zoo", FLAGS.weights, weights.list_shipped()
        )
    if FLAGS.run_dir is not None:
        raise UserError(
            "--weights are exported into --out, not into --run_dir. Received: "
            f"--run_dir={FLAGS.run_dir}."
        )
    if FLAGS.out is None:
        raise UserError(
            "--out is missing: the run directory to write the weights into, such as "
            f"--out=runs/{FLAGS.weights.replace('/', '-')}."
        )
