"""Exports a finished run, and proves every file on the whole test split.

python -m export --run_dir=runs/convnet-mnist
python -m export --run_dir=runs/convnet-mnist --formats=tflite
"""

from __future__ import annotations

from absl import flags

from export.formats import DEFAULT_FORMATS, FORMATS, parse_formats
from zoo import cli, runtime
from zoo.errors import UserError
from zoo.rundir import finished_run

FLAGS = flags.FLAGS
flags.DEFINE_string("run_dir", None, "The finished run to export.")
flags.DEFINE_string(
    "formats", ",".join(DEFAULT_FORMATS), f"Comma-separated: {', '.join(FORMATS)}."
)


def main(argv: list[str]) -> None:
    """Parses the flags and calls the export."""
    if extra := cli.parse_flags(argv, __doc__):
        raise UserError(f"Only flags are taken. Received: {' '.join(extra)}.")
    if FLAGS.run_dir is None:
        raise UserError("--run_dir is missing: the finished run to export.")
    formats = parse_formats(FLAGS.formats)
    if not formats:
        raise UserError(f"--formats names nothing. Known: {', '.join(FORMATS)}.")
    finished_run(FLAGS.run_dir)
    runtime.start()
    from export import exporter, report

    content = exporter.export_run(FLAGS.run_dir, formats)
    print(report.summary(content, FLAGS.run_dir))


if __name__ == "__main__":
    cli.main(main)
