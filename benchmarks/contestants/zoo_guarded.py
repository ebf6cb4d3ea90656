"""An epoch of the zoo with and without what keeps a run from being lost."""

from __future__ import annotations

import pathlib
import tempfile

from benchmarks.contestants.zoo_fit import Training


def prepare(model_name: str, variant: str):
    """Returns a function that trains an epoch and answers with the seconds.

    Args:
        model_name: of the architecture; its default recipe.
        variant: ``plain``; ``watched``, for losses and gradients that are not finite;
            ``backups``: watched, and with a row of metrics.csv and a backup at the
            end; ``deterministic``: with op determinism.
    """
    training = Training(model_name, deterministic=variant == "deterministic")
    if variant == "watched":
        from zoo.models.watch import Watch  # once Keras is there

        training.model.watch = Watch()
    if variant != "backups":
        return training.epoch
    directory = tempfile.TemporaryDirectory()
    keeper = training.keeper(pathlib.Path(directory.name))

    def work() -> float:
        assert directory  # removed with the process
        keeper.step = 0
        seconds = training.epoch(keeper)
        if not any(pathlib.Path(directory.name).glob("backup/step-*")):
            raise RuntimeError("No backup was written.")
        return seconds

    return work
