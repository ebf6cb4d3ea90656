"""One export from a finished run to a proved directory, all or nothing."""

from __future__ import annotations

import contextlib
import errno
import inspect
import os
import pathlib
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

from export import card, verify
from export.base import Draft, ExportedFile, Format
from export.formats import FORMATS, check_request, get_format, parse_formats
from zoo import files, startup
from zoo.errors import RunError, UserError
from zoo.plots.draw import draw_run
from zoo.training.outcome import TrainedRun, open_run

_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


def export_run(
    run: str | os.PathLike[str] | TrainedRun,
    formats: Sequence[str],
    train_batch: int | None = None,
    device_optimizer: str | None = None,
    *,
    plots: bool = True,
) -> dict[str, Any]:
    """Writes R/export: the files, export.json and the model card.

    Formats of an earlier export of the same weights that are not asked for stay.

    Args:
        run: a finished run, R, or its directory.
        formats: names of ``export.FORMATS``.
        train_batch: an option of ``tflite_trainable``, see ``formats.check_request``.
        device_optimizer: likewise.
        plots: draw pictures, of the run where they are missing, for the model card.

    Returns:
        The content of export.json.

    Raises:
        UserError: not a finished run, a damaged model.keras, a target that cannot
            be written, a format that is not for such a run.
        RunError: a file does not reach its bounds; nothing has been replaced.
    """
    formats, *device = check_request(formats, train_batch, device_optimizer)
    trained = run if isinstance(run, TrainedRun) else open_run(run)
    target = trained.run.export
    with contextlib.ExitStack() as stack:
        trained.run.lock()
        stack.callback(trained.run.unlock)
        _check_model(trained)
        for name in formats:
            get_format(name).check(trained)
        with (
            _write_errors(target),
            _replacing(target) as directory,
            startup.quiet_stderr(),
        ):
            draft = Draft(trained, directory, *device)
            for name in _carry_over(draft, formats):
                get_format(name).write(draft)
                for file in get_format(name).files:
                    if draft.bound(file):
                        _prove(draft, get_format(name), file)
            content = _finish(draft)
            pictures = _draw(draft) if plots else []
            text = card.render(trained.result, content, pictures)
            files.write_bytes(directory / "README.md", text.encode())
    return content


def _prove(draft: Draft, format: Format, file: ExportedFile) -> None:
    """Runs a file over the test split and records what it came to.

    Raises:
        RunError: it does not reach its bounds.
    """
    record, problems = verify.verify(draft, file)
    if not problems:
        details, problems = format.details(draft, file)
    if problems:
        raise RunError(
            f"The export of {draft.trained.run.path} failed its proof: "
            f"{pathlib.Path(file.path).name}: {'; '.join(problems)}. Nothing was "
            "exported."
        )
    draft.records.append(record | details | {"format": format.name})
    draft.records.sort(key=lambda record: FORMATS.index(record["format"]))
    if sys.stdout.isatty():
        print(f"verified {file.path}", flush=True)


def _finish(draft: Draft) -> dict[str, Any]:
    """Writes labels.txt and export.json; returns the content of the latter."""
    if draft.is_classifier and (draft.directory / "tflite").exists():
        labels = "\n".join(draft.data["class_names"]) + "\n"
        path = draft.directory / "tflite" / "labels.txt"
        path.write_text(labels, encoding="utf-8")
    trained = draft.trained
    content = {
        "model": trained.config["identity"]["model"],
        "model_sha256": files.sha256(trained.run.model),
        "description": inspect.getdoc(type(trained.model)).splitlines()[0],
        "data": draft.data,
        "per_class": _per_class(draft),
        "left_out": draft.left_out,
        "artifacts": draft.records,
        "page": draft.page,
    }
    files.write_json(draft.directory / "export.json", content)
    return content


def _per_class(draft: Draft) -> list[tuple[str, int, int]]:
    """Returns (class, right, all) for each class with test examples."""
    if not draft.is_classifier:
        return []
    labels = draft.trained.dataset.test.y
    right = draft.trained.outputs.argmax(axis=1) == labels
    return [
        (name, int(right[labels == i].sum()), int((labels == i).sum()))
        for i, name in enumerate(draft.data["class_names"])
        if (labels == i).any()
    ]


def _draw(draft: Draft) -> list[str]:
    """Draws what is missing in R/plots; puts all of it beside the model card.

    Returns:
        The names of the pictures, as in ``zoo.plots.draw.TITLES``.
    """
    drawn = draw_run(draft.trained, draft.records)
    (draft.directory / "plots").mkdir()
    for path in drawn:
        shutil.copy2(path, draft.directory / "plots")
    return [path.stem for path in drawn]


def _check_model(trained: TrainedRun) -> None:
    """Raises UserError unless model.keras is the one that result.json describes."""
    accuracy = trained.result["test"].get("accuracy")
    same = trained.model.name == trained.result["model"]
    if same and accuracy is not None:
        right = trained.outputs.argmax(axis=1) == trained.dataset.test.y
        # In other batches a tie may fall the other way.
        same = abs(accuracy - right.mean()) <= 2 / len(right)
    if not same:
        run = trained.run
        raise UserError(f"{run.model} is not the model that {run.result} is about.")


def _carry_over(draft: Draft, formats: Sequence[str]) -> tuple[str, ...]:
    """Copies what an earlier export of the same weights holds in other formats.

    Returns:
        The formats to write: those asked for, and what they need and is not there.

    Raises:
        UserError: a file is gone or is not what it was.
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
            _copy_unchanged(run.export, draft.directory, record, formats)
    carried = {record["format"] for record in draft.records}
    needed = {need for name in formats for need in get_format(name).needs}
    return parse_formats(",".join((*formats, *(needed - carried))))


def _copy_unchanged(
    source: pathlib.Path,
    directory: pathlib.Path,
    record: dict[str, Any],
    formats: Sequence[str],
) -> None:
    """Copies the file or directory of a record of export.json."""
    path, place = source / record["path"], directory / record["path"]
    inside = place.resolve().is_relative_to(directory.resolve())
    if not inside or not path.exists() or files.checksum(path) != record["sha256"]:
        raise UserError(
            f"{path} is not what was exported. Name its format too, with "
            f"--formats={','.join((*formats, record['format']))}, to write it again."
        )
    place.parent.mkdir(exist_ok=True)
    if path.is_dir():
        shutil.copytree(path, place)
    else:
        shutil.copy2(path, place)


@contextlib.contextmanager
def _replacing(target: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a directory beside ``target`` that takes its place at the end.

    Only one process at a time: what an earlier one left when it was killed is put
    back or removed first.
    """
    beside, old = (target.with_name(f".{target.name}.{n}") for n in ("new", "old"))
    if old.exists() and not target.exists():
        old.rename(target)
    if target.exists() and not target.is_dir():
        raise UserError(f"The export cannot be written: {target} is not a directory.")
    for leftover in (beside, old):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
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
    finally:
        shutil.rmtree(beside, ignore_errors=True)


@contextlib.contextmanager
def _write_errors(target: pathlib.Path) -> Iterator[None]:
    """Makes what the file system refuses an error of one line."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        # TensorFlow says: operation, path; reason [operation].
        said = str(error).splitlines()[0].split("; ")[-1].split(" [Op:")[0]
        reason = getattr(error, "strerror", None) or said
        message = f"The export to {target} failed: {reason}. {target} is as it was."
        denied = getattr(error, "errno", None) in _DENIED
        raise (UserError if denied else RunError)(message) from error
