"""An epoch of the zoo with and without what keeps a run from being lost or unseen."""

from __future__ import annotations

import pathlib
import tempfile

from benchmarks.contestants.zoo_fit import Training


def prepare(model_name: str, variant: str):
    """Returns a function that trains an epoch and answers with the seconds.

    Args:
        model_name: of the architecture; its default recipe.
        variant: ``plain``; ``guarded``, against losses and gradients that are not
            finite; ``backups``: guarded, and with a row of metrics.csv and a backup at
            the end; ``tensorboard`` and ``histograms``: plain, and with what
            TensorBoard shows, the latter of each variable too; ``deterministic``: with
            op determinism.
    """
    training = Training(model_name, deterministic=variant == "deterministic")
    if variant == "guarded":
        from zoo.models.common.guard import NonFiniteGuard

        training.model.guard = NonFiniteGuard()
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
        assert directory  # removed with the process
        progress.step = 0
        progress.rows.clear()
        seconds = training.epoch(*callbacks)
        if not any(path.glob(written)):
            raise RuntimeError(f"Nothing was written for {variant}.")
        return seconds

    return work
