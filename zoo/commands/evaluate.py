"""Evaluates a run, an exported file or pretrained weights on the test split.

python -m zoo evaluate SOURCE
python -m zoo evaluate runs/convnet-mnist/export/tflite/model_int8.tflite
python -m zoo evaluate mlp/mnist --dataset=path/to/mnist

SOURCE is a run directory, an exported file (a .tflite file or the directory of a
SavedModel), or pretrained weights; `python -m zoo list` lists them.
"""

from __future__ import annotations

from zoo.commands import flags, source
from zoo.errors import UserError

FLAGS = flags.Flags()
FLAGS.string(
    "dataset",
    None,
    "With pretrained weights: the dataset to evaluate on, as for train.py. Unset: the "
    "one that they were trained on, or a sample of it if that is not on this machine.",
)
source.define(FLAGS)


def main(argv: list[str]) -> None:
    """Parses the flags and evaluates."""
    given = source.parse(argv, __doc__, FLAGS)
    if len(given) != 1:
        raise UserError(
            "evaluate takes one SOURCE: python -m zoo evaluate runs/convnet-mnist. "
            f"Received: {' '.join(given) or 'nothing'}."
        )
    for name, value in source.evaluate(given[0], FLAGS.dataset).items():
        print(f"{name}  {value if name == 'examples' else round(value, 6)}")
