"""SOURCE, the first argument of the commands that use a finished model."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from zoo import files, pretrained, startup
from zoo.commands import flags
from zoo.errors import UserError, unknown
from zoo.records.rundir import finished_run, runs_beside

#: The flags of earlier versions that name a source.
FORMER = ("run_dir", "artifact", "weights")


def define(values: flags.Flags) -> None:
    """Defines the former flags, for scripts that use them."""
    for name in FORMER:
        values.string(name, None, "The former way to name SOURCE.")


def parse(argv: Sequence[str], doc: str | None, values: flags.Flags) -> list[str]:
    """Parses flags; returns the source, if there is one, and the other arguments."""
    arguments = flags.parse(argv, doc, values)
    given = {name: value for name in FORMER if (value := values[name].value)}
    if len(given) > 1:
        shown = " ".join(f"--{name}={value}" for name, value in given.items())
        raise UserError(f"{argv[0]} takes one SOURCE. Received: {shown}.")
    return [*given.values(), *arguments]


# What follows goes when there is zoo.open.
def evaluate(source: str, dataset: str | None) -> dict[str, float]:
    """Evaluates a source on a test split."""
    given = _named(source)
    if dataset and given[2] is None:
        raise UserError(
            "--dataset works only with pretrained weights. Received: "
            f"--dataset={dataset}."
        )
    startup.start()
    from zoo.runs import predict as evaluation

    return evaluation.evaluate(*given[:2], weights=given[2], dataset=dataset)


def predict(
    source: str, paths: Sequence[str], *, invert: bool
) -> list[tuple[str, str, float]]:
    """Returns (path, class, probability) for each image file."""
    given = _named(source)
    startup.start()
    from zoo.runs import predict as evaluation

    return evaluation.predict_images(*given[:2], paths, weights=given[2], invert=invert)


def _named(source: str) -> tuple[str | None, str | None, str | None]:
    """Returns the source as a run directory, an artifact or weights."""
    exists, known = files.exists(source), pretrained.list_weights()
    if source in known or (not exists and pretrained.list_weights(f"{source}*")):
        pretrained.find(source)
        return None, None, source
    if not exists and not source.endswith(".tflite"):
        known += runs_beside(source)
        raise unknown("weights, run or exported file", source, known)
    if files.exists(pathlib.Path(source) / "config.json"):
        finished_run(source)
        return source, None, None
    return None, source, None
