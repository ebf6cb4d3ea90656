"""Exports a finished run: all files are verified, or none is written."""

from __future__ import annotations

import contextlib
import errno
import inspect
import os
import pathlib
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

from export import card, verify
from export.base import Draft, ExportedFile, Format
from export.formats import (
    DEFAULT_FORMATS,
    FORMATS,
    TFLITE_FILES,
    check_request,
    get_format,
    parse_formats,
    parse_tflite_files,
)
from zoo import files, startup
from zoo.errors import RunError, UserError, unknown
from zoo.plots.draw import draw_run, list_pictures
from zoo.records.weights import list_weights, run_of
from zoo.runs.run import Run, TrainedRun, open_run


def export_run(
    run: str | os.PathLike[str] | TrainedRun,
    formats: Sequence[str] = DEFAULT_FORMATS,
    train_batch: int | None = None,
    device_optimizer: str | None = None,
    *,
    tflite_files: str | None = None,
    plots: bool = True,
) -> dict[str, Any]:
    """Writes R/export: the files, export.json and the model card.

    Formats of an earlier export of the same weights stay, unless they are exported
    again.

    Args:
        run: a finished run, R, or its directory.
        formats: names of ``export.FORMATS``.
        train_batch: an option of ``tflite_trainable``, see ``formats.check_request``.
        device_optimizer: likewise.
        tflite_files: the files of ``tflite`` to write, such as ``float32,int8``; None
            for all.
        plots: draw the pictures for the model card that the run does not have yet.

    Returns:
        The content of export.json.

    Raises:
        UserError: the run is not finished, its model.keras is damaged, the target
            cannot be written, or a format does not support such a model.
        RunError: a file misses its bounds; nothing has been replaced.
    """
    formats, batch, optimizer = check_request(formats, train_batch, device_optimizer)
    tflite_names = parse_tflite_files(tflite_files, formats)
    trained = run if isinstance(run, TrainedRun) else open_run(run)
    with trained.run.locked():
        _check_model(trained)
        for name in formats:
            get_format(name).check(trained)
        with _replacing(trained.run.export) as directory, startup.quiet_stderr():
            draft = Draft(trained, directory, batch, optimizer, tflite_names)
            for name in _carry_over(draft, formats):
                get_format(name).write(draft)
                for file in get_format(name).files:
                    if pathlib.Path(file.path).name not in draft.left_out:
                        _verify(draft, get_format(name), file)
            content = _describe(draft)
            # Draws the pictures that are missing in R/plots; the card shows all.
            if plots:
                draw_run(trained, draft.records)
            pictures = list_pictures(trained.run)
            for path in pictures:
                (directory / "plots").mkdir(exist_ok=True)
                shutil.copy2(path, directory / "plots")
            text = card.render(trained.result, content, [p.stem for p in pictures])
            files.write_bytes(directory / "README.md", text.encode())
    return content


def export_weights(
    weights: str,
    out: str | os.PathLike[str],
    formats: Sequence[str] = DEFAULT_FORMATS,
    *,
    dataset: str | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Writes pretrained weights into a directory as a run, and exports it.

    If no dataset is at hand, a warning says that the files are verified on the 200 test
    images that come with the weights.

    Args:
        weights: a name of ``zoo.list_weights()``.
        out: the run directory: a new one, or one that they were written to before.
        formats: as for ``export_run``.
        dataset: the dataset to verify the files on, as for train.py; None for the one
            that the weights were trained on, or for their sample.
        **options: of ``export_run``.

    Returns:
        The content of export.json.

    Raises:
        UserError: there are no such weights, or ``out`` has other files in it.
        RunError: a file misses its bounds.
    """
    parse_formats(",".join(formats))
    shipped = run_of(weights)
    if shipped is None:
        raise unknown("weights", weights, list_weights())
    run = Run(shipped, name=weights)
    tested = run.tested_with(dataset) if dataset else run
    return export_run(tested.copy_to(out), formats, **options)


def _check_model(trained: TrainedRun) -> None:
    """Raises UserError unless model.keras is the one that result.json describes."""
    accuracy = trained.result["test"].get("accuracy")
    same = trained.model.name == trained.result["model"]
    if same and accuracy is not None and trained.tested_on == "the whole test split":
        right = trained.outputs.argmax(axis=1) == trained.dataset.test.y
        # In batches of another size, a tie may be decided differently.
        same = abs(accuracy - right.mean()) <= 2 / len(right)
    if not same:
        run = trained.run
        raise UserError(f"{run.model} is not the model that {run.result} is about.")


def _carry_over(draft: Draft, formats: Sequence[str]) -> tuple[str, ...]:
    """Copies the other formats of an earlier export of the same weights.

    Returns:
        The formats to write: the requested ones, and those that they need.

    Raises:
        UserError: a file is missing or has been changed.
    """
    run = draft.trained.run
    earlier = run.read_export()
    if earlier and earlier["model_sha256"] == files.sha256(run.model):
        kept = set(FORMATS) - set(formats)
        draft.records = [r for r in earlier["artifacts"] if r["format"] in kept]
        if "web" in kept:
            draft.page = earlier.get("page")
        if "tflite" in kept:
            draft.left_out = earlier["left_out"]
    for record in filter(None, [*draft.records, draft.page]):
        source, place = run.export / record["path"], draft.directory / record["path"]
        inside = place.resolve().is_relative_to(draft.directory.resolve())
        same = source.exists() and files.checksum(source) == record["sha256"]
        if not (inside and same):
            raise UserError(
                f"{source} is not what was exported. To write it again, pass "
                f"--formats={','.join((*formats, record['format']))}."
            )
        place.parent.mkdir(exist_ok=True)
        copy = shutil.copytree if source.is_dir() else shutil.copy2
        copy(source, place)
    carried = {record["format"] for record in draft.records}
    needed = {need for name in formats for need in get_format(name).needs}
    return parse_formats(",".join((*formats, *(needed - carried))))


def _verify(draft: Draft, format: Format, file: ExportedFile) -> None:
    """Runs a file over the test split and records the result, or raises RunError."""
    record, problems = verify.verify(draft, file)
    if not problems:
        details, problems = format.details(draft, file)
    if problems:
        message = (
            f"The export of {draft.trained.run.path} failed its verification: "
            f"{pathlib.Path(file.path).name}: {'; '.join(problems)}. Nothing was "
            "exported."
        )
        if format.name == "tflite":
            asked = draft.tflite_files or TFLITE_FILES
            rest = ",".join(name for name in asked if name != file.name)
            message += (
                f" To export without it: python -m export --run_dir="
                f"{draft.trained.run.path} --tflite_files={rest}"
            )
        raise RunError(message)
    draft.records.append(record | details | {"format": format.name})
    draft.records.sort(key=lambda record: FORMATS.index(record["format"]))
    print(f"verified {file.path}", flush=True)


def _describe(draft: Draft) -> dict[str, Any]:
    """Writes labels.txt, sample.png and export.json; returns the latter's content."""
    trained, per_class, sample = draft.trained, [], None
    if draft.is_classifier:
        names, labels = draft.data["class_names"], trained.dataset.test.y
        right = trained.outputs.argmax(axis=1) == labels
        # The first test image that the model gets right, for the calls in the card.
        first = int(right.argmax())
        image = tf.io.encode_png(trained.dataset.test.x[first])
        files.write_bytes(draft.directory / "sample.png", image.numpy())
        sample = names[trained.outputs[first].argmax()]
        # (class, right, all) for each class with test examples.
        per_class = [
            (name, int(right[labels == i].sum()), int((labels == i).sum()))
            for i, name in enumerate(names)
            if (labels == i).any()
        ]
        if (draft.directory / "tflite").exists():
            text = "".join(f"{name}\n" for name in names)
            path = draft.directory / "tflite" / "labels.txt"
            path.write_text(text, encoding="utf-8")
    content = {
        "model": trained.config["identity"]["model"],
        "tested_on": _tested_on(draft),
        "model_sha256": files.sha256(trained.run.model),
        "description": str(inspect.getdoc(type(trained.model))).splitlines()[0],
        "data": draft.data,
        "per_class": per_class,
        "brightness": trained.config.get("brightness"),
        "sample": sample,
        "left_out": draft.left_out,
        "artifacts": draft.records,
        "page": draft.page,
    }
    files.write_json(draft.directory / "export.json", content)
    return content


def _tested_on(draft: Draft) -> str:
    """Returns in words which examples the files were verified on."""
    said = draft.trained.tested_on
    size = len(draft.trained.dataset.test.y)
    for record in draft.records:
        if record.get("examples", size) < size:
            said += (
                f", {pathlib.Path(record['path']).name} on {record['examples']:,} "
                "evenly spaced examples of it"
            )
    return said


@contextlib.contextmanager
def _replacing(target: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a directory that replaces ``target`` at the end.

    Only one process may do so at a time. Directories that a killed process left behind
    are restored or removed first. An error of the file system becomes one line.
    """
    beside, old = (target.with_name(f".{target.name}.{n}") for n in ("new", "old"))
    try:
        if old.exists() and not target.exists():
            old.rename(target)
        if target.exists() and not target.is_dir():
            raise UserError(
                f"The export cannot be written: {target} is not a directory."
            )
        for leftover in (beside, old):
            shutil.rmtree(leftover, ignore_errors=True)
        beside.mkdir()
        yield beside
        if target.exists():
            target.rename(old)
        try:
            beside.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise
        shutil.rmtree(old, ignore_errors=True)
    except (OSError, tf.errors.OpError) as error:
        # TensorFlow's messages have the form: operation, path; reason [operation].
        said = str(error).splitlines()[0].split("; ")[-1].split(" [Op:")[0]
        reason = getattr(error, "strerror", None) or said
        message = f"The export to {target} failed: {reason}. {target} is as it was."
        number = getattr(error, "errno", None)
        denied = number in (errno.EACCES, errno.EPERM, errno.EROFS)
        raise (UserError if denied else RunError)(message) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
