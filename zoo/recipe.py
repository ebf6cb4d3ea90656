"""Recipes: how an architecture is trained."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from zoo.errors import UserError, unknown

OPTIMIZERS = [
    "adafactor",
    "adagrad",
    "adam",
    "adamw",
    "lion",
    "nadam",
    "rmsprop",
    "sgd",
]
#: The changes in ``augment``: the meaning of the strength, and its largest value. Each
#: image draws a number from 0, or from minus the strength, to the strength.
AUGMENTATIONS = {
    "shift": ("shift, as a fraction of height and width", 1.0),
    "rotate": ("rotation, in degrees", 180.0),
    "scale": ("change of size, as a fraction", 10.0),
    "shear": ("shear, as a fraction", 10.0),
    "elastic": ("root mean square of a smooth displacement, per size", 1.0),
    "flip": ("probability of mirroring left to right", 1.0),
    "pad_crop": ("pixels of mirrored border, cropped at a random place", 64.0),
    "erasing": ("height and width of a black rectangle, as a fraction", 1.0),
}
_CHOICES = {
    "task": ["classification", "regression"],
    "optimizer": OPTIMIZERS,
    "loss": [
        "auto",
        "cross_entropy",
        "cross_entropy_sum",
        "mean_squared_error",
        "one_hot_mean",
        "one_hot_sum",
    ],
    "schedule": ["constant", "cosine"],
    "order": ["shuffled", "file"],
    "remainder": ["drop", "keep"],
}
# The smallest allowed values. _MAX_COUNT is far above any useful training.
_COUNTS = {
    "batch_size": 1,
    "steps_per_epoch": 1,
    "epochs": 1,
    "num_examples": 1,
    "steps_per_execution": 1,
    "min_steps": 0,
}
_MAX_COUNT = 1_000_000_000
# These tests reject NaN too, because NaN fails every comparison.
_NUMBERS = {
    "learning_rate": ("above 0 and finite", lambda value: 0 < value < math.inf),
    "pretrained_rate": ("above 0, at most 1", lambda value: 0 < value <= 1),
    "weight_decay": ("at least 0 and finite", lambda value: 0 <= value < math.inf),
    "momentum": ("at least 0 and below 1", lambda value: 0 <= value < 1),
    "label_smoothing": ("at least 0 and below 1", lambda value: 0 <= value < 1),
    "warmup": ("at least 0 and below 1", lambda value: 0 <= value < 1),
}
_OPTIONAL = ("task", "batch_size", "steps_per_epoch")


#: Strengths of random distortions of digits, which suit most networks.
DISTORTIONS = {
    "shift": 0.07,
    "rotate": 10.0,
    "scale": 0.1,
    "shear": 0.1,
    "elastic": 0.03,
}
#: Smaller distortions, which a network learns to the end in a long training.
SMALL_DISTORTIONS = {
    "shift": 0.05,
    "rotate": 7.0,
    "scale": 0.07,
    "shear": 0.07,
    "elastic": 0.02,
}


def initializer(class_name: str, **config: Any) -> dict[str, Any]:
    """Returns a Keras initializer in a form that both JSON and Keras accept."""
    return {"class_name": class_name, "config": config}


def _flag(default: Any, text: str) -> Any:
    """Returns a field for which train.py has a flag, with the help of the flag."""
    return dataclasses.field(default=default, metadata={"help": text})


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The settings of a training. Flags override single fields.

    Attributes:
        task: ``classification``, ``regression``, or None for either.
        model: arguments of the architecture's constructor that differ from its
            defaults, such as ``{"scale": 1.0}``.
        scratch: the fields that differ if the training starts without weights.
        head_first: whether to fit the head on the features of the pretrained network,
            which does not change meanwhile, before all layers are trained.
        freeze_statistics: whether batch normalization keeps its moving statistics.
        loss: ``auto`` (cross-entropy for classes, mean squared error for numbers),
            ``cross_entropy``, ``cross_entropy_sum`` (summed over the batch),
            ``mean_squared_error``, ``one_hot_mean`` or ``one_hot_sum`` (squared error
            between logits and one-hot labels; mean or sum over the classes, mean over
            the batch).
        label_smoothing: share of each label that is spread evenly over all classes, for
            the loss ``cross_entropy``, and for ``auto`` with classes.
        optimizer: name of a Keras optimizer in lower case.
        learning_rate: highest learning rate of the schedule.
        pretrained_rate: factor for the learning rate of pretrained weights; a new head
            is trained with the full rate.
        momentum: momentum of ``sgd`` and ``rmsprop``, as in Keras.
        nesterov: whether ``sgd`` uses Nesterov momentum, as in Keras.
        weight_decay: decoupled weight decay as in Keras; 0 for none.
        decay_kernels_only: whether to exclude biases and the parameters of
            normalization from weight decay.
        schedule: ``constant``, or ``cosine``, which falls to 0 at the last step.
        warmup: fraction of the steps in which ``cosine`` rises from 0.
        batch_size: number of examples in a batch; None for the whole training split.
        order: ``shuffled`` (differently in each pass) or ``file``.
        remainder: whether to ``drop`` or ``keep`` the last partial batch of a pass.
        augment: random changes of the training images, as strengths by name, see
            ``AUGMENTATIONS``.
        num_examples: number of training examples of a generated dataset.
        epochs: number of epochs, each with a line in metrics.csv.
        steps_per_epoch: steps of an epoch; None for one pass over the data.
        min_steps: smallest number of steps of the whole training. On a small dataset,
            epochs have more than one pass to reach it.
        steps_per_execution: steps that one call from Python runs.
    """

    task: str | None = None
    model: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    scratch: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    head_first: bool = False
    freeze_statistics: bool = False
    loss: str = "auto"
    label_smoothing: float = 0.0
    optimizer: str = _flag("adam", "A Keras optimizer's name, such as sgd or adam.")
    learning_rate: float = _flag(1e-3, "The optimizer's (highest) learning rate.")
    pretrained_rate: float = 1.0
    momentum: float = _flag(0.0, "Momentum of sgd and rmsprop, as in Keras.")
    nesterov: bool = _flag(False, "Nesterov momentum of sgd, as in Keras.")
    weight_decay: float = _flag(0.0, "Decoupled weight decay, as in Keras.")
    decay_kernels_only: bool = False
    schedule: str = _flag("constant", "Learning rate over time: constant or cosine.")
    warmup: float = 0.0
    batch_size: int | None = _flag(128, "Examples in a batch.")
    order: str = "shuffled"
    remainder: str = "drop"
    augment: Mapping[str, float] = dataclasses.field(
        default_factory=dict,
        metadata={"help": "Image changes, such as shift=0.1,flip=0.5; or none."},
    )
    num_examples: int = 1000
    epochs: int = _flag(10, "Rounds of training.")
    steps_per_epoch: int | None = None
    min_steps: int = 0
    steps_per_execution: int = _flag(
        1, "Steps in one call of TensorFlow; auto: the recipe's."
    )

    def __post_init__(self):
        self.check_fields(vars(self))
        if self.label_smoothing and self.loss not in ("auto", "cross_entropy"):
            raise UserError(
                "--label_smoothing belongs to the loss cross_entropy. Received: "
                f"loss={self.loss}, label_smoothing={self.label_smoothing}."
            )
        if self.momentum and self.optimizer not in ("sgd", "rmsprop"):
            raise UserError(
                "--momentum belongs to the optimizers sgd and rmsprop. "
                f"Received: optimizer={self.optimizer}, momentum={self.momentum}."
            )
        if self.nesterov and (self.optimizer != "sgd" or not self.momentum):
            raise UserError(
                "--nesterov needs --optimizer=sgd and a --momentum above 0. "
                f"Received: optimizer={self.optimizer}, momentum={self.momentum}."
            )

    @staticmethod
    def check_fields(fields: Mapping[str, Any]) -> None:
        """Checks the values of some fields, each by itself."""
        for name, value in fields.items():
            if value is None and name in _OPTIONAL:
                continue
            if name in _CHOICES and value not in _CHOICES[name]:
                raise unknown(name, str(value), _CHOICES[name])
            if name == "augment":
                for change, strength in value.items():
                    if change not in AUGMENTATIONS:
                        raise unknown("augmentation", change, AUGMENTATIONS)
                    meaning, largest = AUGMENTATIONS[change]
                    fits = _is_number(strength) and 0 <= strength <= largest
                    of = f"augment: {change} ({meaning})"
                    _require(fits, of, f"a number, 0 to {largest:g}", strength)
            if name in _COUNTS:
                least = _COUNTS[name]
                fits = isinstance(value, int) and _is_number(value) and value >= least
                _require(fits, name, f"a whole number, {least} or more", value)
                _require(value <= _MAX_COUNT, name, f"{_MAX_COUNT} or less", value)
            if name in _NUMBERS:
                bounds, in_bounds = _NUMBERS[name]
                _require(_is_number(value), name, "a number", value)
                _require(in_bounds(value), name, bounds, value)

    def override(self, **fields: Any) -> Recipe:
        """Returns the recipe with some fields replaced.

        Another optimizer has no momentum unless ``momentum`` is given too. If
        ``epochs`` is given, ``min_steps`` becomes 0, so that a small dataset gets no
        further passes.
        """
        if fields.get("optimizer", self.optimizer) != self.optimizer:
            fields = {"momentum": 0.0, "nesterov": False} | fields
        if "epochs" in fields:
            fields = {"min_steps": 0} | fields
        return dataclasses.replace(self, **fields)

    def changes(self) -> dict[str, Any]:
        """Returns the fields that differ from their defaults."""
        default = vars(Recipe())
        return {name: v for name, v in vars(self).items() if v != default[name]}

    def from_scratch(self) -> Recipe:
        """Returns the recipe for a training that starts without weights."""
        alone = {"head_first": False, "freeze_statistics": False, "scratch": {}}
        return dataclasses.replace(self, **{**alone, **self.scratch})

    def to_json(self) -> dict[str, Any]:
        """Returns the fields as plain dicts, strings and numbers.

        The fields about weights are left out where they have their defaults, as in runs
        of recipes that need none.
        """
        fields = dataclasses.asdict(self)
        for name in ("scratch", "head_first", "freeze_statistics"):
            if not fields[name]:
                del fields[name]
        return fields


def parse_augment(text: str | None) -> dict[str, float] | None:
    """Reads ``shift=0.1,flip=0.5`` or ``none``; None stays None."""
    if text is None:
        return None
    strengths: dict[str, float] = {}
    for part in [] if text == "none" else text.split(","):
        name, _, strength = part.partition("=")
        try:
            strengths[name.strip()] = float(strength)
        except ValueError:
            raise UserError(
                "--augment must be names with strengths, such as shift=0.1,flip=0.5, "
                f"or none. Received: {text}."
            ) from None
    return strengths


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _require(fits: bool, name: str, wanted: str, value: Any) -> None:
    if not fits:
        raise UserError(f"--{name} must be {wanted}. Received: {value!r}.")


#: The recipe that networks for photographs share; it mirrors images.
PHOTOGRAPHS = Recipe(
    augment={"pad_crop": 4, "flip": 0.5, "erasing": 0.4},
    label_smoothing=0.1,
    optimizer="sgd",
    learning_rate=0.1,
    momentum=0.9,
    nesterov=True,
    weight_decay=5e-3,
    decay_kernels_only=True,
    schedule="cosine",
    warmup=0.1,
    batch_size=128,
    steps_per_execution=5,
)

#: The recipe of networks that have seen ImageNet. On the features of the pretrained
#: network, the head is fitted first; then all layers are trained for a few epochs.
FINE_TUNING = Recipe(
    head_first=True,
    freeze_statistics=True,
    scratch={
        **PHOTOGRAPHS.override(epochs=70, min_steps=1200).changes(),
        "batch_size": PHOTOGRAPHS.batch_size,  # no change from the default
    },
    augment={"flip": 0.5, "shift": 0.05, "scale": 0.15, "rotate": 10.0},
    label_smoothing=0.1,
    optimizer="adamw",
    learning_rate=3e-4,
    weight_decay=0.05,
    decay_kernels_only=True,
    schedule="cosine",
    warmup=0.1,
    batch_size=32,
    epochs=5,
    steps_per_execution=5,
)
