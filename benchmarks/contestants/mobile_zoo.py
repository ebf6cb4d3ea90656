"""model.fit of a network for phones, on random photographs."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks import data
from benchmarks.contestants.zoo_fit import training
from zoo import startup
from zoo.recipe import PHOTOGRAPHS


def prepare(
    model_name: str, steps: str, batch_size: str, side: str, statistics: str
) -> Callable[..., float]:
    """Returns a function that trains ``steps`` steps and returns the seconds.

    The model has no pretrained weights, which do not change its speed.

    Args:
        model_name: name of the architecture.
        steps: steps per call of the function.
        batch_size: examples in a batch.
        side: height and width of the images.
        statistics: ``batch`` to normalize with the statistics of each batch, as in
            training from scratch, or ``frozen``, as in fine-tuning.
    """
    startup.start()
    recipe = PHOTOGRAPHS.override(
        weight_decay=0.0,
        label_smoothing=0.0,
        learning_rate=0.01,
        augment={},
        scratch={"freeze_statistics": statistics == "frozen"},
        epochs=1,
        steps_per_epoch=int(steps),
        batch_size=int(batch_size),
    )
    split = data.random_photographs(int(steps) * int(batch_size), int(side))
    return training(model_name, split, recipe)[1]
