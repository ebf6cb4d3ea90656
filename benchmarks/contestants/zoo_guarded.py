"""An epoch of the zoo with and without its backups and TensorBoard logs."""

from __future__ import annotations

import pathlib
import tempfile

from benchmarks.contestants.zoo_fit import Training


def prepare(model_name: str, variant: str):
    """Returns a function that trains an epoch and returns the seconds.

    Args:
        model_name: name of the architecture; its default recipe is used.
        variant: ``plain``; ``backups``, with the check for non-finite losses, a row of
            metrics.csv and a backup at the end; ``tensorboard``, plain with logs;
            ``histograms``, the same with histograms of the variables; or
            ``deterministic``, with op determinism.
    """
    training = Training(model_name, deterministic=variant == "deterministic")
    if variant not in ("backups", "tensorboard", "histograms"):
        return training.epoch
    from zoo.training.checkpoint import Progress

    directory = tempfile.TemporaryDirectory()
    path = pathlib.Path(directory.name)
    if variant == "backups":
        progress, callbacks = training.keepers(path)
        written = "backup/step-*"
    else:
        progress = Progress()
        callbacks = [training.tensorboard(path, histograms=variant == "histograms")]
        written = "tensorboard/train/*"

    def work() -> float:
        assert directory  # keeps the directory until the process ends
        progress.step = 0
        progress.rows.clear()
        seconds = training.epoch(*callbacks)
        if not any(path.glob(written)):
            raise RuntimeError(f"Nothing was written for {variant}.")
        return seconds

    return work
