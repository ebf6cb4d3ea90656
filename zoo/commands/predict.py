"""Prints the most probable class of each image file, and its probability.

python -m zoo predict SOURCE a.png b.jpg
python -m zoo predict runs/convnet-mnist a.png --invert
python -m zoo predict runs/convnet-mnist/export/tflite/model_int8.tflite a.png
python -m zoo predict mlp/mnist a.png

SOURCE is a run directory, a .keras file, an exported file (a .tflite file or the
directory of a SavedModel), or pretrained weights; `python -m zoo list` lists them.
"""

from __future__ import annotations

from zoo import console, startup
from zoo.commands import flags, source
from zoo.errors import UserError
from zoo.records import sources

FLAGS = flags.Flags()
FLAGS.boolean("invert", False, "Swap black and white in the images.")
source.define(FLAGS)


def main(argv: list[str]) -> None:
    """Parses the flags and predicts."""
    given = source.parse(argv, __doc__, FLAGS)
    if len(given) < 2:
        raise UserError(
            "predict takes a SOURCE and image files: python -m zoo predict "
            f"runs/convnet-mnist a.png b.png. Received: {' '.join(given) or 'nothing'}."
        )
    found = sources.find(given[0])
    startup.start()
    from zoo.runs import open as opening

    for path, name, probability in opening.top(
        opening.open(found),
        given[1:],
        invert=FLAGS.invert,
        progress=console.is_terminal(),
    ):
        print(f"{path}  {name}  {probability:.4f}")
