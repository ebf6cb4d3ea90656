"""A finished run with its model, dataset and outputs, each loaded only once."""

from __future__ import annotations

import functools
import os
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np

from zoo import console, files, registry
from zoo.data import load
from zoo.data.dataset import Dataset, DataSpec, Split
from zoo.errors import RunError, UserError
from zoo.models import transfer
from zoo.models.base import TapeModel
from zoo.records.published import Published
from zoo.records.rundir import RunDir, finished_run
from zoo.records.weights import Weights
from zoo.runs import scoring
from zoo.runs.artifact import checked_weights
from zoo.runs.predictor import Predictor

#: What ``Run.tested_on`` says of the dataset that a run was trained on.
WHOLE = "the whole test split"


class Run(Predictor):
    """A finished run. What is not given is loaded or computed when it is needed.

    Args:
        run: the directory of the run.
        name: what the user called it; None for the path.
        dataset: the dataset that it is tested on; None for that of the training.
        tested_on: in words, what the test split of ``dataset`` is.
        model: the trained model, on one device and in float32.
        outputs: the outputs of the model for the whole test split.
        done_before: whether the run was finished before this process began.
    """

    def __init__(
        self,
        run: RunDir,
        *,
        name: str | None = None,
        dataset: Dataset | None = None,
        tested_on: str | None = None,
        model: TapeModel | None = None,
        outputs: np.ndarray | None = None,
        done_before: bool = False,
    ):
        self.run = run
        self.name = name or str(run.path)
        self.done_before = done_before
        self._dataset, self._tested_on = dataset, tested_on
        self._model, self._outputs = model, outputs

    @functools.cached_property
    def config(self) -> dict[str, Any]:
        """The content of config.json."""
        return self.run.read_config()

    @functools.cached_property
    def result(self) -> dict[str, Any]:
        """The content of result.json."""
        return self.run.read_result()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one example: (height, width, channels), or (1,)."""
        return tuple(self.config["data"]["input_shape"])

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name per class; empty for a regression."""
        return tuple(self.config["data"]["class_names"])

    @property
    def brightness(self) -> Mapping[str, float] | None:
        """``Split.brightness`` of the training images."""
        return self.config.get("brightness")

    @property
    def resize(self) -> str:
        """How images of another size were resized in the training."""
        return self.config["identity"]["resize"]

    @property
    def model(self) -> TapeModel:
        """The trained model."""
        if self._model is None:
            self._model = transfer.load_file(self.run.model)
        return self._model

    @property
    def device_freeze(self) -> str | None:
        """The stage from which ``tflite_trainable`` learns; None for all stages.

        It is that of the architecture, or that of the training if it is a later one.
        """
        model = registry.get_architecture(self.config["identity"]["model"])
        known = filter(None, (model.device_freeze, self.model.freeze))
        return max(known, key=self.model.stages.index, default=None)

    @property
    def dataset(self) -> Dataset:
        """The dataset that the run was trained on.

        If it is not at hand and the run has a sample of it, as weights that come with
        the zoo have, the sample takes the place of both splits, with a warning.
        """
        if self._dataset is None:
            try:
                self._dataset = self._read_own()
            except RunError as error:
                if not self.is_shipped:
                    raise
                self._dataset = self._sample()
                console.warn(
                    f"{error} Until then, {self.name} is tested on "
                    f"{len(self._dataset.test.y)} of the {self._num_test:,} test "
                    "images, which come with the zoo."
                )
        return self._dataset

    @property
    def is_shipped(self) -> bool:
        """Whether these are weights that come with the zoo, or a copy of them."""
        return "test_sha256" in self.config and self.run.sample.exists()

    @property
    def is_sample(self) -> bool:
        """Whether ``dataset`` is only the sample that the run has."""
        return self.dataset.train is self.dataset.test

    @property
    def tested_on(self) -> str:
        """In words, what the test split of ``dataset`` is."""
        if self.is_sample:
            return (
                f"{len(self.dataset.test.y)} of the {self._num_test:,} test images of "
                f"{self.config['data']['name']} (the others are not on this machine)"
            )
        return self._tested_on or WHOLE

    @property
    def outputs(self) -> np.ndarray:
        """float32 probabilities (n, classes), or y (n, 1), for the whole test split."""
        if self._outputs is None:
            self._outputs = scoring.outputs(self.model, self.dataset.test)
        return self._outputs

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Returns float32 probabilities (n, classes), or y (n, 1)."""
        return answer(self.model, inputs)

    def test_split(self) -> Split:
        """Returns the test split of ``dataset``."""
        return self.dataset.test

    def evaluate(self, dataset: str | None = None) -> dict[str, float]:
        """Scores it on a whole test split, see ``Predictor.evaluate``."""
        return self.tested_with(dataset)._score() if dataset else self._score()

    def _score(self) -> dict[str, float]:
        return scoring.score(self.outputs, self.dataset.test)

    def tested_with(self, dataset: str) -> Run:
        """Returns the same run, tested on another dataset with the same classes.

        Raises:
            UserError: its images or classes differ from those of the run.
            RunError: it is not on this machine and cannot be downloaded.
        """
        data = self.read_dataset(dataset)
        tested_on = f"{len(data.test.y):,} test images of {pathlib.Path(dataset).name}"
        if self._has_own_pixels(data.test):
            tested_on = f"{WHOLE} of {self.config['data']['name']}"
        return Run(
            self.run,
            name=self.name,
            dataset=data,
            tested_on=tested_on,
            model=self._model,
        )

    def copy_to(self, directory: str | os.PathLike[str]) -> Run:
        """Copies the run into another directory, without its exports; returns the copy.

        Args:
            directory: a new directory, or one that this run was copied to before.

        Raises:
            UserError: the directory has other content.
            RunError: it cannot be written.
        """
        run = RunDir(directory)
        if run.path.is_dir() and any(run.path.iterdir()) and not self._is_copy(run):
            raise UserError(
                f"--out must be a new directory, or one that {self.name} was written "
                f"to before. Received: {run.path}, which has other content."
            )
        with run.locked():
            for path in (self.run.config, self.run.metrics, self.run.model):
                shutil.copy2(path, run.path)
            if self.run.sample.exists():
                shutil.copy2(self.run.sample, run.path)
            shutil.copy2(self.run.result, run.path)  # the run is now finished
        return Run(
            run, dataset=self._dataset, tested_on=self._tested_on, model=self._model
        )

    def _is_copy(self, run: RunDir) -> bool:
        models = (self.run.model, run.model)
        return run.model.exists() and len({files.sha256(path) for path in models}) == 1

    @property
    def _num_test(self) -> int:
        return self.result["num_test_examples"]

    def _read_own(self) -> Dataset:
        """Reads the dataset of the training, with the same validation split."""
        config, identity = self.config, self.config["identity"]
        data_dir, name = config.get("data_dir"), config["dataset_used"]
        if pathlib.Path(name).is_absolute() and not files.exists(name):
            raise UserError(
                f"The data of {self.name} are no longer in {name}. If they have moved, "
                "run its training command with their new place as --dataset."
            )
        dataset = load.find(name, data_dir).read(
            image_size=tuple(config.get("image_size") or ()) or None,
            resize=self.resize,
            num_examples=identity["settings"]["num_examples"],
            seed=identity["seed"],
            skip_damaged=config.get("skip_damaged", False),
        )
        same = dataset.spec.fingerprint == identity["dataset_fingerprint"]
        if not same and not self._has_own_pixels(dataset.test):
            raise UserError(
                f"{name} is not what {self.name} was trained on: its files have "
                "changed since. Train again, with --overwrite."
            )
        if identity.get("validation") is None:
            return dataset
        return dataset.hold_out(identity["validation"], identity["seed"])

    def _has_own_pixels(self, test: Split) -> bool:
        """Whether it is the test split of the training, as far as the run knows it.

        The weights that come with the zoo know their test split by its pixels too,
        because the same dataset may come from TFDS or from files.
        """
        pixels = self.config.get("test_sha256")
        return pixels is not None and test.sha256() == pixels

    def _sample(self) -> Dataset:
        """Returns the images in sample.npz as both splits."""
        split = Split(*self.run.read_sample())
        counts = {"num_train": len(split.y), "num_test": len(split.y)}
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in (self.config["data"] | counts).items()
        }
        return Dataset(DataSpec(**fields), split, split)


class KerasFile(Predictor):
    """A .keras file outside of a run. Its classes are numbers."""

    knows_names = False

    def __init__(self, path: pathlib.Path):
        self.name = str(path)
        self.model = transfer.load_file(path)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one example: (height, width, channels), or (1,)."""
        return self.model.example_shape

    @property
    def class_names(self) -> tuple[str, ...]:
        """The numbers of the classes; empty for a regression."""
        return tuple(map(str, range(self.model.num_classes or 0)))

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Returns float32 probabilities (n, classes), or y (n, 1)."""
        return answer(self.model, inputs)


class PublishedModel(Predictor):
    """A network with weights that others have published, at the size of its images."""

    def __init__(self, about: Published):
        weights = Weights(about.name, None, published=about)
        self.name, self._about = about.name, about
        self.model = transfer.load(registry.get_architecture(about.model), weights)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one example: (height, width, channels)."""
        return self._about.input_shape

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of ImageNet's classes."""
        return self._about.class_names

    @property
    def resize(self) -> str:
        """As for the published accuracy: ImageNet's objects are in the middle."""
        return "crop"

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Returns float32 probabilities (n, classes)."""
        return answer(self.model, inputs)


def answer(model: TapeModel, inputs: np.ndarray) -> np.ndarray:
    """Returns float32 probabilities (n, classes), or y (n, 1)."""
    return scoring.probabilities(model, model.predict(inputs, verbose=0))


def open_run(run_dir: str | os.PathLike[str]) -> Run:
    """Opens a finished run; only checks that it is finished."""
    return Run(finished_run(run_dir))


def load_run(
    run_dir: str | os.PathLike[str],
    device_weights: str | os.PathLike[str] | None = None,
) -> TapeModel:
    """Returns the trained model of a finished run.

    Args:
        run_dir: the directory of the run.
        device_weights: an .npz file with the weights that ``model_trainable.tflite``
            has learned on a device: the outputs of its signature ``weights``, by name.

    Raises:
        UserError: the directory is not a run, the run is not finished, its model.keras
            is damaged, or the weights belong to another model.
    """
    run = open_run(run_dir)
    if device_weights is not None:
        _take_over(run, device_weights)
    return run.model


def _take_over(run: Run, path: str | os.PathLike[str]) -> None:
    """Copies weights from a device into the model of a run."""
    try:
        with np.load(path, allow_pickle=False) as file:
            weights = dict(file)
    except Exception as error:
        # Errors of the zip and header readers pass through NumPy; .npy gives no dict.
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"device_weights must be an .npz file of what the signature weights gave. "
            f"Received: {path} ({reason})."
        ) from None
    parameters = run.model.parameters(run.device_freeze)
    shapes = {name: tuple(each.shape) for name, each in parameters.items()}
    weights = checked_weights(weights, shapes, run.model.name)
    for name, variable in parameters.items():
        variable.assign(weights[name])
