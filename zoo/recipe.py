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
    "shift": ("shift, as a share of height and width", 1.0),
    "rotate": ("rotation, in degrees", 180.0),
    "scale": ("change of size, as a share", 10.0),
    "shear": ("shear, as a share", 10.0),
    "crop": ("share of height and width that is cut off, the rest enlarged", 0.99),
    "elastic": ("root mean square of a smooth displacement, as a share of size", 1.0),
    "flip": ("probability of mirroring left to right", 1.0),
    "brightness": ("change of all pixels, as a share of 255", 1.0),
    "contrast": ("change of the distance from the mean, as a share", 1.0),
    "saturation": ("change of the saturation, as a share", 1.0),
    "erasing": ("height and width of a black rectangle, as a share", 1.0),
}
LOSSES = [
    "auto",
    "cross_entropy",
    "cross_entropy_sum",
    "mean_squared_error",
    "one_hot_mean",
    "one_hot_sum",
]
MAX_COUNT = 1_000_000_000
SCHEDULES = ("constant", "cosine")
ORDERS = ("shuffled", "file")
REMAINDERS = ("drop", "keep")


def initializer(class_name: str, **config: Any) -> dict[str, Any]:
    """Names a Keras initializer in the form that JSON and Keras both take."""
    return {"class_name": class_name, "config": config}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How an architecture is trained. Flags override it field by field.

    Attributes:
        task: ``classification``, ``regression``, or None for either.
        model: arguments of the architecture's constructor that differ from its
            defaults, as ``{"scale": 1.0}``.
        loss: ``auto`` (cross-entropy for classes, mean squared error for numbers),
            ``cross_entropy``, ``cross_entropy_sum`` (summed over the batch),
            ``mean_squared_error``, ``one_hot_mean`` and ``one_hot_sum`` (squares
            of logits minus one-hot labels; mean or sum over the classes, mean
            over the batch).
        optimizer: a Keras optimizer's name in lower case.
        learning_rate: its (highest) learning rate.
        momentum: of ``sgd`` and ``rmsprop``, as in Keras.
        nesterov: of ``sgd``, as in Keras.
        weight_decay: decoupled, as in Keras; 0 for none.
        schedule: ``constant``, or ``cosine`` down to 0 at the last step.
        warmup: share of the steps in which ``cosine`` climbs from 0.
        batch_size: examples in a batch; None for all of the training split.
        order: ``shuffled`` anew in every pass, or ``file``.
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
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
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
        if self.task not in (None, "classification", "regression"):
            raise unknown("task", str(self.task), ("classification", "regression"))
        for name, strength in self.augment.items():
            if name not in AUGMENTATIONS:
                raise unknown("augmentation", name, AUGMENTATIONS)
            _check_strength(name, strength)
        for name, kind, known in (
            ("optimizer", "optimizer", OPTIMIZERS),
            ("loss", "loss", LOSSES),
            ("schedule", "schedule", SCHEDULES),
            ("order", "order", ORDERS),
            ("remainder", "remainder", REMAINDERS),
        ):
            if getattr(self, name) not in known:
                raise unknown(kind, str(getattr(self, name)), known)
        _at_least(1, self, "batch_size", "steps_per_epoch", optional=True)
        _at_least(1, self, "epochs", "num_examples", "steps_per_execution")
        _at_least(0, self, "min_steps")
        _at_most(self, "epochs", "steps_per_epoch", "min_steps", "num_examples")
        _in_range(self, "learning_rate", 0.0, math.inf, low_open=True)
        _in_range(self, "weight_decay", 0.0, math.inf)
        _in_range(self, "momentum", 0.0, 1.0)
        _in_range(self, "warmup", 0.0, 1.0)
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
        return dataclasses.asdict(self)


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
                "--augment must be names with strengths, as shift=0.1,flip=0.5, or "
                f"none. Received: {text}."
            ) from None
    return strengths


def _check_strength(name: str, strength: Any) -> None:
    meaning, largest = AUGMENTATIONS[name]
    number = isinstance(strength, int | float) and not isinstance(strength, bool)
    if not number or not 0 <= strength <= largest:
        raise UserError(
            f"--augment: {name} ({meaning}) must be a number, 0 to {largest:g}. "
            f"Received: {strength!r}."
        )


def _at_least(low: int, recipe: Recipe, *names: str, optional: bool = False) -> None:
    for name in names:
        value = getattr(recipe, name)
        if value is None and optional:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < low:
            raise UserError(
                f"--{name} must be a whole number, {low} or more. Received: {value}."
            )


def _at_most(recipe: Recipe, *names: str) -> None:
    # Far beyond what anyone trains; larger numbers would not fit the step's counter.
    for name in names:
        if (getattr(recipe, name) or 0) > MAX_COUNT:
            raise UserError(
                f"--{name} must be {MAX_COUNT} or less. Received: "
                f"{getattr(recipe, name)}."
            )


def _in_range(
    recipe: Recipe, name: str, low: float, high: float, *, low_open: bool = False
) -> None:
    value = getattr(recipe, name)
    if not isinstance(value, int | float):
        raise UserError(f"--{name} must be a number. Received: {value!r}.")
    # NaN fails every comparison; infinity is never below an infinite bound.
    if not (low <= value < high) or (low_open and value == low):
        bounds = f"{'above' if low_open else 'at least'} {low:g}"
        bounds += f" and below {high:g}" if high < math.inf else " and finite"
        raise UserError(f"--{name} must be {bounds}. Received: {value}.")
