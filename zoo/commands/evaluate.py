"""Evaluates a run, an exported file or pretrained weights on the test split.

python -m zoo evaluate SOURCE
python -m zoo evaluate runs/convnet-mnist/export/tflite/model_int8.tflite
python -m zoo evaluate mlp/mnist --dataset=path/to/mnist

SOURCE is a run directory, a .keras file, an exported file (a .tflite file or the
directory of a SavedModel), or pretrained weights; `python -m zoo list` lists them.
"""

from __future__ import annotations

from zoo import startup
from zoo.commands import flags, source
from zoo.errors import UserError
from zoo.records import sources

FLAGS = flags.Flags()
FLAGS.string(
    "dataset",
    None,
    "The dataset to evaluate on, as for train.py; its classes must be the same. Unset: "
    "the one that it was trained on. If pretrained weights lack it, a sample of it.",
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
    found = sources.find(given[0])
    startup.start()
    from zoo.runs import open as opening

    for name, value in opening.open(found).evaluate(FLAGS.dataset).items():
        print(f"{name}  {value if name == 'examples' else round(value, 6)}")
