"""Exports a finished run: the files that hold in their verification."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import os
import pathlib
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

from export import card, records, verify
from export.formats import DEFAULT_FORMATS, FORMATS, Format, check_request
from export.records import Export, LeftOut, Record
from zoo import files
from zoo.errors import RunError, UserError, unknown
from zoo.plots.draw import draw_run, list_pictures
from zoo.records.weights import list_shipped, run_of
from zoo.runs import scoring
from zoo.runs.run import WHOLE, Run, open_run


class FilesLeftOut(RunError):
    """Some files missed their bounds; the others have been exported."""


@contextlib.contextmanager
def summarized(run_dir: str | os.PathLike[str]) -> Iterator[None]:
    """Prints a table of the run's exported files after an export in this context."""
    try:
        yield
    except FilesLeftOut:
        print("\n" + card.summary(run_dir))
        raise
    print("\n" + card.summary(run_dir))


def export_run(
    run: str | os.PathLike[str] | Run,
    formats: Sequence[str] = DEFAULT_FORMATS,
    *,
    plots: bool = True,
    **options: Any,
) -> dict[str, Any]:
    """Writes R/export: the files, export.json and the model card.

    A file that misses its bounds is left out, and export.json and the card say why.
    Formats of an earlier export of the same weights stay, unless they are exported
    again. Files of other origin stay too.

    Args:
        run: a finished run, R, or its directory.
        formats: names of ``export.FORMATS``.
        plots: draw the pictures for the model card that the run does not have yet.
        **options: ``tflite_files``, the files of ``tflite`` to write, such as
            ``float32,int8``, by default those of the architecture; ``train_batch``, the
            batch size of a training step of ``tflite_trainable``, 1 to 1024, by default
            16; and its ``device_optimizer``, ``sgd`` or ``momentum``, by default
            ``sgd``.

    Returns:
        The content of export.json.

    Raises:
        UserError: the run is not finished, its model.keras is damaged, or a format does
            not support such a model.
        FilesLeftOut: some files missed their bounds; the others have been exported.
        RunError: all files missed their bounds, or one cannot be written. Nothing has
            been replaced.
    """
    if not isinstance(run, str | os.PathLike | Run):
        raise UserError(
            "export_run takes a finished run, as zoo.open returns it, or its "
            f"directory. Received: {type(run).__name__}."
        )
    request = check_request(formats, options)
    trained = run if isinstance(run, Run) else open_run(run)
    target = trained.run.export
    beside = target.with_name(f".{target.name}.new")
    with trained.run.locked():
        _check_model(trained)
        earlier, earlier_left_out = _exported(trained)
        needs = {need for name in request for need in FORMATS[name].needs}
        if missing := needs - request.keys() - {each.format for each in earlier}:
            request |= check_request([*missing], {})
        kept = [each for each in earlier if each.format not in request]
        left_out = [each for each in earlier_left_out if each.format not in request]
        shutil.rmtree(beside, ignore_errors=True)  # of a killed process
        beside.mkdir()
        try:
            artifacts, missed = [*kept], []
            for format in FORMATS.values():
                if format.name in request:
                    asked = request[format.name]
                    new, failed = _export(trained, beside, format, asked, artifacts)
                    artifacts += new
                    missed += failed
            said = " ".join(map(str, missed))
            if len(artifacts) == len(kept):
                raise RunError(f"{said} Nothing was exported.")
            content = _describe(trained, beside, artifacts, left_out + missed, plots)
            _publish(beside, target, content, kept)
        except tf.errors.OpError as error:
            # TensorFlow's messages have the form: operation, path; reason [operation].
            reason = str(error).splitlines()[0].split("; ")[-1].split(" [Op:")[0]
            raise RunError(f"Writing to {target} failed: {reason}.") from error
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    if missed:
        paths = ", ".join(each.path for each in artifacts if each not in kept)
        raise FilesLeftOut(f"{said} Exported to {target}: {paths}.")
    return content.to_json()


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
        weights: weights that come with the zoo, such as ``mlp/mnist``.
        out: the run directory: a new one, or one that they were written to before.
        formats: as for ``export_run``.
        dataset: the dataset to verify the files on, as for train.py; None for the one
            that the weights were trained on, or for their sample.
        **options: of ``export_run``.

    Returns:
        The content of export.json.

    Raises:
        UserError: there are no such weights, or ``out`` has other files in it.
        RunError: as for ``export_run``.
    """
    check_request(formats, options)
    shipped = run_of(weights)
    if shipped is None:
        raise unknown("weights that come with the zoo", weights, list_shipped())
    run = Run(shipped, name=weights)
    tested = run.tested_with(dataset) if dataset else run
    return export_run(tested.copy_to(out), formats, **options)


def _check_model(trained: Run) -> None:
    """Raises UserError unless model.keras is the one that result.json describes."""
    accuracy = trained.result["test"].get("accuracy")
    same = trained.model.name == trained.result["model"]
    if same and accuracy is not None and trained.tested_on.startswith(WHOLE):
        right = scoring.correct(trained.outputs, trained.dataset.test.y)
        # In batches of another size, a tie may be decided differently.
        same = abs(accuracy - right.mean()) <= 2 / len(right)
    if not same:
        run = trained.run
        raise UserError(f"{run.model} is not the model that {run.result} is about.")


def _exported(trained: Run) -> tuple[list[Record], list[LeftOut]]:
    """Returns what an earlier export of the same weights says.

    Returns:
        The files that are still unchanged, and those that were left out.
    """
    target = trained.run.export
    earlier = records.read(target)
    if earlier is None or earlier.model_sha256 != files.sha256(trained.run.model):
        return [], []
    unchanged = [
        each
        for each in earlier.artifacts
        if each.format in FORMATS
        and (target / each.path).exists()
        and files.checksum(target / each.path) == each.sha256
    ]
    return unchanged, [each for each in earlier.left_out if each.format in FORMATS]


def _export(
    trained: Run,
    directory: pathlib.Path,
    format: Format,
    options: dict[str, Any],
    others: Sequence[Record],
) -> tuple[list[Record], list[LeftOut]]:
    """Writes the files of one format into the directory, and verifies them.

    Returns:
        The files that hold, and those that do not, which are removed.
    """
    if not any(file.suits(trained) for file in format.files):
        raise UserError(
            f"{format.name} is for classifiers of images. Received: "
            f"{trained.run.path}, a regression. Leave it out of the formats."
        )
    if format.needs:
        options = options | {"others": {each.name: each for each in others}}
    written = format.export(trained, directory, **options)
    if not written:
        raise UserError(
            f"{trained.run.path} cannot have the files that were asked for of "
            f"{format.name}: a regression has no pixels to calibrate on. Ask for "
            "others."
        )
    found, left_out = [], []
    for file in (file for file in format.files if file.name in written):
        path = directory / file.path
        details = dict(written[file.name])
        problems = details.pop("problems", [])
        if not problems:
            measured, problems = verify.verify(trained, path, file)
        if problems:
            reason = "; ".join(problems)
            left_out.append(LeftOut(file.name, format.name, file.path, reason))
            _remove(path)
            continue
        if measured:
            print(f"verified {file.path}", flush=True)
        record = Record(
            name=file.name,
            format=format.name,
            path=file.path,
            bytes=files.size(path),
            sha256=files.checksum(path),
            details=details,
            **measured,
        )
        found.append(record)
    return found, left_out


def _describe(
    trained: Run,
    directory: pathlib.Path,
    artifacts: list[Record],
    left_out: list[LeftOut],
    plots: bool,
) -> Export:
    """Writes sample.png, the pictures and the card; returns what export.json says."""
    data, test, sample = trained.config["data"], trained.dataset.test, None
    artifacts, left_out = sorted(artifacts, key=_order), sorted(left_out, key=_order)
    if trained.model.num_classes is not None:
        # The first test image that the model gets right, for the calls in the card.
        first = int(scoring.correct(trained.outputs, test.y).argmax())
        image = tf.io.encode_png(test.x[first])
        (directory / "sample.png").write_bytes(image.numpy())
        sample = data["class_names"][trained.outputs[first].argmax()]
    said = trained.tested_on
    for each in artifacts:
        if each.examples is not None and each.examples < len(test.y):
            said += (
                f", {pathlib.Path(each.path).name} on {each.examples:,} evenly spaced "
                "examples of it"
            )
    content = Export(
        model=trained.config["identity"]["model"],
        model_sha256=files.sha256(trained.run.model),
        description=str(inspect.getdoc(type(trained.model))).splitlines()[0],
        data=data,
        tested_on=said,
        sample=sample,
        artifacts=artifacts,
        left_out=left_out,
    )
    if plots:
        # Draws the pictures that are missing in R/plots; the card shows all.
        draw_run(trained, [each.to_json() for each in artifacts if each.input])
    pictures = list_pictures(trained.run)
    for path in pictures:
        (directory / "plots").mkdir(exist_ok=True)
        shutil.copy2(path, directory / "plots")
    text = card.render(trained, content, [path.stem for path in pictures])
    (directory / "README.md").write_text(text, encoding="utf-8")
    return content


def _publish(
    new: pathlib.Path, target: pathlib.Path, content: Export, kept: list[Record]
) -> None:
    """Moves all new files to their places. Files of other origin stay.

    Args:
        new: directory of the new files.
        target: R/export.
        content: what export.json says in the end. Until all files are in their places,
            it only lists those in ``kept``.
        kept: the files that stay in their places.
    """
    target.mkdir(exist_ok=True)
    dataclasses.replace(content, artifacts=kept).write(target)
    stay = {each.path for each in kept}
    for file in (file for format in FORMATS.values() for file in format.files):
        place = target / file.path
        if file.path not in stay:
            _remove(place)
    for path in [path for path in new.rglob("*") if path.is_file()]:
        place = target / path.relative_to(new)
        place.parent.mkdir(parents=True, exist_ok=True)
        path.replace(place)
    content.write(target)


def _remove(path: pathlib.Path) -> None:
    """Removes a file or a directory, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _order(file: Record | LeftOut) -> int:
    """Returns the place of a file's format among the formats."""
    return [*FORMATS].index(file.format)
