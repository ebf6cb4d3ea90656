"""A request to train, and what it names. Needs no TensorFlow."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Mapping
from typing import Any

from zoo import console, registry
from zoo.data import load
from zoo.data.load import Source
from zoo.data.source import DEFAULT_RESIZE, RESIZES
from zoo.errors import UserError, unknown
from zoo.recipe import Recipe
from zoo.records import published, weights
from zoo.records.weights import Weights
from zoo.training import cluster
from zoo.training.cluster import Cluster

#: The architecture that suits photographs of any size.
PHOTOGRAPHS = "efficientnet_lite"
#: Height and width, in pixels, to which larger photographs are resized for weights of
#: ImageNet, unless another size is asked for.
SIDE = 160
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")


def _flag(default: Any, text: str, *, choices: tuple[str, ...] | None = None) -> Any:
    """Returns a field for which train.py has a flag, with the help of the flag."""
    metadata = {"help": text, "choices": choices}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Config:
    """A request to train: the flags of ``train.py`` and the recipe's ``overrides``.

    None means that a flag is not given.

    Attributes:
        overrides: fields of the recipe to replace, with their values.
        image_size: (height, width) to which images are resized.
        profile_steps: the first and the last step to profile, from 1.
    """

    model: str = dataclasses.field(
        metadata={"help": "Architecture to train; `python -m zoo` lists them."}
    )
    recipe: str = _flag("default", "One of the architecture's recipes.")
    overrides: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    dataset: str | None = _flag(
        None,
        "A TFDS image-classification name (mnist, emnist/letters, cifar10, ...), "
        "digits, linear_regression, or a directory with four IDX files or a tree of "
        "images. Unset: the dataset that the architecture is meant for.",
    )
    data_dir: str | None = _flag(None, "Where TFDS keeps prepared datasets.")
    image_size: tuple[int, int] | None = _flag(
        None, "Resize images to SIZE or HEIGHTxWIDTH pixels."
    )
    resize: str = _flag(
        DEFAULT_RESIZE,
        "How images of another shape are resized. stretch: whatever their shape; crop: "
        "the largest centered region of the new shape; pad: the whole image, centered "
        "on black.",
        choices=RESIZES,
    )
    weights: str | None = _flag(
        None,
        "Start from pretrained weights: DATASET or DATASET/RECIPE of `python -m zoo "
        "list`, a run directory or a .keras file. Other classes get a new head, and "
        "files outside a run always do. Unless --image_size is set, images are resized "
        "to the size that the weights were trained on, if that is known. Unset: those "
        "of ImageNet for the architectures that have them; none: start from nothing.",
    )
    freeze: str | None = _flag(
        None,
        "With --weights: do not train the layers before this one, such as head or "
        "stage3; or none.",
    )
    skip_damaged: bool = _flag(False, "Leave out images that do not decode.")
    class_weights: str = _flag(
        "none",
        "How much each example counts in the loss. balanced: classes count the same, "
        "however many images they have.",
        choices=("none", "balanced"),
    )
    run_dir: str | None = _flag(None, "Run directory. Unset: runs/MODEL-DATASET.")
    overwrite: bool = _flag(False, "Replace the run that is in --run_dir.")
    seed: int = _flag(0, "Seed of everything random: 0 to 2**31 - 1.")
    jit_compile: str = _flag(
        "auto",
        "Compile with XLA. auto: on an accelerator only.",
        choices=("auto", "true", "false"),
    )
    gradient_norm: bool = _flag(False, "Report the global norm of the gradients.")
    eval_every: int = _flag(1, "Epochs between evaluations while training.")
    validation: float | None = _flag(
        None,
        "Share of the training split to hold out and to evaluate while training, such "
        "as 0.1; the test split is then evaluated once, at the end. Unset: the folder "
        "validation of the dataset, or else the test split, is evaluated while "
        "training.",
    )
    backup_steps: int | None = _flag(
        None,
        "Steps between backups. Unset: about every 30 s and after each epoch, but less "
        "often if backups would take more than 1/60 of the time.",
    )
    deterministic: bool = _flag(
        False,
        "Give the same bits in every run on the same machine, even in one that was "
        "killed and resumed. Without it, batches are the same, but weights differ by "
        "rounding. Small models train about a tenth slower, large ones less.",
    )
    strategy: str = _flag(
        "auto",
        "Devices to train on. one; mirrored: all devices of this machine; "
        "multi_worker: the workers in TF_CONFIG or of a Slurm job; tpu; auto: all that "
        "are found. They share each batch of --batch_size examples.",
        choices=("auto", "one", "mirrored", "multi_worker", "tpu"),
    )
    precision: str = _flag(
        "float32",
        "Type of computations; weights and exports are float32.",
        choices=PRECISIONS,
    )
    tensorboard: bool = _flag(True, "Write scalars for `make tensorboard`.")
    histograms: bool = _flag(False, "Write histograms of the weights too.")
    profile_steps: tuple[int, int] | None = _flag(
        None, "First and last step to profile, such as 10,20."
    )
    progress: str = _flag(
        "auto",
        "What is shown while training. auto: bars on a terminal, else a line per "
        "epoch.",
        choices=("auto", "bar", "epoch", "none"),
    )

    @property
    def shown(self) -> str:
        """What to print while training: ``bar``, ``epoch`` or ``none``."""
        if self.progress == "auto":
            if console.is_terminal():
                return "bar"
            return "epoch" if sys.stdout else "none"
        return self.progress

    def __post_init__(self) -> None:
        Recipe.check_fields(self.overrides)
        for field in dataclasses.fields(self):
            value, known = getattr(self, field.name), field.metadata.get("choices")
            if known and value not in known:
                raise unknown(field.name, str(value), known)
        for name in ("eval_every", "backup_steps"):
            number = getattr(self, name)
            if number is not None and not (isinstance(number, int) and number >= 1):
                raise UserError(
                    f"--{name} must be a whole number, 1 or more. Received: {number}."
                )
        if not 0 <= self.seed < 2**31:
            raise UserError(f"--seed must be 0 to 2**31 - 1. Received: {self.seed}.")
        if self.run_dir == "":
            raise UserError("--run_dir is empty. Leave it out for runs/MODEL-DATASET.")
        # This form rejects NaN too, because NaN fails every comparison.
        if self.validation is not None and not 0 < self.validation < 1:
            raise UserError(
                "--validation must be a share of the training split, above 0 and below "
                f"1. Received: {self.validation}."
            )
        if (self.histograms or self.profile_steps) and not self.tensorboard:
            raise UserError(
                "--histograms and --profile_steps are for TensorBoard. Received: "
                "--notensorboard. Leave it out."
            )


@dataclasses.dataclass(frozen=True)
class Found:
    """What a request names, before TensorFlow is started.

    Attributes:
        config: the request.
        source: the dataset; None for the default of the architecture.
        weights: the pretrained weights, if there are any.
        cluster: the workers that share the training; None for this process alone.
    """

    config: Config
    source: Source | None
    weights: Weights | None
    cluster: Cluster | None


def find(config: Config) -> Found:
    """Finds what a request names. Needs no TensorFlow and writes nothing."""
    registry.check_model(config.model)
    found, asked = None, config.weights
    if asked is None and published.find(config.model, "imagenet"):
        asked = "imagenet"
    if asked not in (None, "none"):
        found = weights.find(config.model, asked, config.recipe)
    elif config.freeze not in (None, "none") or config.recipe == "finetune":
        known = [
            name.partition("/")[2] for name in weights.list_weights(f"{config.model}/*")
        ]
        raise UserError(
            "--freeze and --recipe=finetune need --weights: pretrained ones of "
            f"{config.model} ({', '.join(known) or 'there are none'}), or a run "
            "directory. Received: none."
        )
    source = None
    if config.dataset is not None:
        source = load.find(config.dataset, config.data_dir)
        if config.validation is not None and source.has_validation:
            raise UserError(
                f"{config.dataset} has a folder for validation already. Received: "
                f"--validation={config.validation:g}. Leave out the flag, or move the "
                "images of the folder into train."
            )
    return Found(config, source, found, cluster.find(config.strategy))


def parse_steps_per_execution(text: str) -> int | None:
    """Reads a number of steps; ``auto`` gives None, the recipe's number."""
    if text == "auto":
        return None
    if not re.fullmatch(r"\d{1,15}", text, re.ASCII) or int(text) < 1:
        raise UserError(
            "--steps_per_execution must be a whole number, 1 or more, or auto. "
            f"Received: {text[:80]}."
        )
    return int(text)


def parse_profile_steps(text: str) -> tuple[int, int]:
    """Reads ``10,20``: the first and the last step to profile."""
    match = re.fullmatch(r"(\d{1,15}),(\d{1,15})", text, re.ASCII)
    first, last = map(int, match.groups()) if match else (0, 0)
    if not 1 <= first <= last:
        raise UserError(
            "--profile_steps must be the first and the last step to profile, from 1, "
            f"such as 10,20. Received: {text[:80]}."
        )
    return first, last


def parse_image_size(text: str) -> tuple[int, int]:
    """Reads ``32`` or ``28x40`` (height x width) as pixels."""
    match = re.fullmatch(r"(\d{1,4})(?:x(\d{1,4}))?", text, re.ASCII | re.IGNORECASE)
    height, width = (match[1], match[2] or match[1]) if match else (0, 0)
    size = int(height), int(width)
    if not all(1 <= side <= 4096 for side in size):
        raise UserError(
            "--image_size must be SIZE or HEIGHTxWIDTH in pixels, 1 to 4096. "
            f"Received: {text[:80]}."
        )
    return size
