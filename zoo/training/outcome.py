"""A finished run and everything made of it, so that nothing is made twice."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

from zoo.training.rundir import RunDir, finished_run

if TYPE_CHECKING:
    import numpy as np

    from zoo.data.dataset import Dataset
    from zoo.models.base import TapeModel


class TrainedRun:
    """A finished run with its model, dataset and outputs.

    What is not given is loaded or computed when it is first asked for.

    Args:
        run: the directory of a finished run.
        dataset: what it was trained on.
        model: the trained model, on one device and in float32.
        outputs: what the model says of the whole test split.
        done_before: the run was finished before this process began.
    """

    def __init__(
        self,
        run: RunDir,
        *,
        dataset: Dataset | None = None,
        model: TapeModel | None = None,
        outputs: np.ndarray | None = None,
        done_before: bool = False,
    ):
        self.run = run
        self.done_before = done_before
        # What is given takes the place of the cached property of that name.
        made = {"dataset": dataset, "model": model, "outputs": outputs}
        vars(self).update((k, value) for k, value in made.items() if value is not None)

    @functools.cached_property
    def config(self) -> dict[str, Any]:
        """The content of config.json."""
        return self.run.read_config()

    @functools.cached_property
    def result(self) -> dict[str, Any]:
        """The content of result.json."""
        return self.run.read_result()

    @functools.cached_property
    def model(self) -> TapeModel:
        """The trained model, compiled."""
        from zoo import evaluation

        return evaluation.load_run(self.run.path)

    @functools.cached_property
    def dataset(self) -> Dataset:
        """The dataset that the run was trained on."""
        from zoo import evaluation

        return evaluation.run_dataset(self.run)

    @functools.cached_property
    def outputs(self) -> np.ndarray:
        """float32 probabilities (n, classes), or y (n, 1), of the whole test split."""
        from zoo import evaluation

        return evaluation.outputs(self.model, self.dataset.test)


def open_run(run_dir: str | os.PathLike[str]) -> TrainedRun:
    """Opens a finished run; nothing but its state is looked at yet.

    Raises:
        UserError: there is no run in the directory, or it is not finished.
    """
    return TrainedRun(finished_run(run_dir))
