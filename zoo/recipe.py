"""What is decided before a training starts, besides the architecture itself."""

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
#: What ``augment`` may hold: the meaning of its strength, and the largest. Each image
#: draws from 0, or from minus the strength, to the strength.
AUGMENTATIONS = {
    "shift": ("shift, as a fraction of height and width", 1.0),
    "rotate": ("rotation, in degrees", 180.0),
    "scale": ("change of size, as a fraction", 10.0),
    "shear": ("shear, as a fraction", 10.0),
    "crop": ("fraction of height and width that is cut off, the rest enlarged", 0.99),
    "elastic": ("root mean square of a smooth displacement, per size", 1.0),
    "flip": ("probability of mirroring left to right", 1.0),
    "brightness": ("change of all pixels, as a fraction of 255", 1.0),
    "contrast": ("change of the distance from the mean, as a fraction", 1.0),
    "saturation": ("change of the saturation, as a fraction", 1.0),
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
# The least of each; far more than the most is no training, nor fits the step's counter.
_COUNTS = {
    "batch_size": 1,
    "steps_per_epoch": 1,
    "epochs": 1,
    "num_examples": 1,
    "steps_per_execution": 1,
    "min_steps": 0,
}
_MAX_COUNT = 1_000_000_000
# NaN fails every comparison.
_NUMBERS = {
    "learning_rate": ("above 0 and finite", lambda value: 0 < value < math.inf),
    "pretrained_rate": ("above 0, at most 1", lambda value: 0 < value <= 1),
    "weight_decay": ("at least 0 and finite", lambda value: 0 <= value < math.inf),
    "momentum": ("at least 0 and below 1", lambda value: 0 <= value < 1),
    "label_smoothing": ("at least 0 and below 1", lambda value: 0 <= value < 1),
    "warmup": ("at least 0 and below 1", lambda value: 0 <= value < 1),
}
_OPTIONAL = ("task", "batch_size", "steps_per_epoch")
# Fields that came later. Where they are at their default they are left out of
# ``to_json``, so that a run that was recorded before them is still the same run.
_LATER = ("label_smoothing", "decay_kernels_only", "pretrained_rate")


def initializer(class_name: str, **config: Any) -> dict[str, Any]:
    """Names a Keras initializer in the form that JSON and Keras both take."""
    return {"class_name": class_name, "config": config}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How an architecture is trained. Flags override it field by field.

    Attributes:
        task: ``classification``, ``regression``, or None for either.
        model: arguments of the architecture's constructor that differ from its
            defaults, such as ``{"scale": 1.0}``.
        loss: ``auto`` (cross-entropy for classes, mean squared error for numbers),
            ``cross_entropy``, ``cross_entropy_sum`` (summed over the batch),
            ``mean_squared_error``, ``one_hot_mean`` and ``one_hot_sum`` (squares
            of logits minus one-hot labels; mean or sum over the classes, mean
            over the batch).
        label_smoothing: share of each label that is spread evenly over all classes;
            of ``auto`` with classes, and of ``cross_entropy``.
        optimizer: a Keras optimizer's name in lower case.
        learning_rate: its (highest) learning rate.
        pretrained_rate: factor on the learning rate of weights that are pretrained;
            those of a new head learn at the whole rate.
        momentum: of ``sgd`` and ``rmsprop``, as in Keras.
        nesterov: of ``sgd``, as in Keras.
        weight_decay: decoupled, as in Keras; 0 for none.
        decay_kernels_only: no weight decay of biases and of what normalization learns.
        schedule: ``constant``, or ``cosine`` down to 0 at the last step.
        warmup: fraction of the steps in which ``cosine`` climbs from 0.
        batch_size: examples in a batch; None for all of the training split.
        order: ``shuffled`` again in every pass, or ``file``.
        remainder: whether a pass ``drop``s or ``keep``s its last partial batch.
        augment: random changes of the training images: strengths by name, see
            ``AUGMENTATIONS``.
        num_examples: size of a dataset that is generated to order.
        epochs: rounds of training, each with a line in metrics.csv.
        steps_per_epoch: steps in a round; None for one pass over the data.
        min_steps: the rounds are made longer, by further passes, until together
            they have this many steps; for datasets that are small.
        steps_per_execution: steps that one call from Python runs.
    """

    task: str | None = None
    model: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    loss: str = "auto"
    label_smoothing: float = 0.0
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    pretrained_rate: float = 1.0
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    decay_kernels_only: bool = False
    schedule: str = "constant"
    warmup: float = 0.0
    batch_size: int | None = 128
    order: str = "shuffled"
    remainder: str = "drop"
    augment: Mapping[str, float] = dataclasses.field(default_factory=dict)
    num_examples: int = 1000
    epochs: int = 10
    steps_per_epoch: int | None = None
    min_steps: int = 0
    steps_per_execution: int = 1

    def __post_init__(self):
        for name, known in _CHOICES.items():
            value = getattr(self, name)
            if value not in known and not (value is None and name in _OPTIONAL):
                raise unknown(name, str(value), known)
        for name, strength in self.augment.items():
            if name not in AUGMENTATIONS:
                raise unknown("augmentation", name, AUGMENTATIONS)
            meaning, largest = AUGMENTATIONS[name]
            fits = _is_number(strength) and 0 <= strength <= largest
            of = f"augment: {name} ({meaning})"
            _require(fits, of, f"a number, 0 to {largest:g}", strength)
        for name, least in _COUNTS.items():
            value = getattr(self, name)
            if value is not None or name not in _OPTIONAL:
                fits = isinstance(value, int) and _is_number(value) and value >= least
                _require(fits, name, f"a whole number, {least} or more", value)
                _require(value <= _MAX_COUNT, name, f"{_MAX_COUNT} or less", value)
        for name, (bounds, in_bounds) in _NUMBERS.items():
            value = getattr(self, name)
            _require(_is_number(value), name, "a number", value)
            _require(in_bounds(value), name, bounds, value)
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

    def override(self, **fields: Any) -> Recipe:
        """Returns the recipe with some fields replaced.

        Another optimizer brings its own momentum: the recipe's is dropped unless
        it is given too. A length that is asked for is that length, in passes over
        the data, however small these are: ``min_steps`` is dropped.

        Raises:
            UserError: a value that the field does not take.
        """
        if fields.get("optimizer", self.optimizer) != self.optimizer:
            fields = {"momentum": 0.0, "nesterov": False} | fields
        if "epochs" in fields:
            fields = {"min_steps": 0} | fields
        return dataclasses.replace(self, **fields)

    def to_json(self) -> dict[str, Any]:
        """Returns the fields as plain dicts, strings and numbers."""
        fields = dataclasses.asdict(self)
        for name in _LATER:
            if fields[name] == getattr(Recipe, name):  # the default
                del fields[name]
        return fields


def parse_augment(text: str | None) -> dict[str, float] | None:
    """Reads ``shift=0.1,flip=0.5`` or ``none``; None stays None.

    Raises:
        UserError: it is neither.
    """
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


#: What the networks for photographs share: these may be mirrored.
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
