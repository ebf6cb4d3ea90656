"""Writes the weights that come with the zoo, from the finished runs of `make results`.

    python -m benchmarks.weights                  writes all weights
    python -m benchmarks.weights --only=resnet    writes the weights of one model

For each run of the first seed, writes zoo/weights/MODEL-DATASET[-RECIPE].weights.h5 and
a .json file beside it. For each dataset, writes 200 images of its test split.
"""

from __future__ import annotations

import csv
import dataclasses
import pathlib
import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np

import zoo
from benchmarks import accuracy, comparison, document
from zoo import console, files, pretrained, startup
from zoo.commands import flags
from zoo.data.dataset import Split

if TYPE_CHECKING:
    from zoo.runs.run import TrainedRun

SHIPPED = (
    ("linear", "default", "mnist"),
    ("mlp", "default", "mnist"),
    ("convnet", "default", "mnist"),
    ("allconv", "default", "mnist"),
    ("allconv", "photos", "cifar10"),
    ("resnet", "tiny", "cifar10"),
    ("resnet", "default", "cifar10"),
    ("resnet", "best", "cifar10"),
)
# The sources of these datasets have no machine-readable description.
ABOUT = {
    "mnist": {
        "license": "CC BY-SA 3.0",
        "citation": "LeCun, Cortes and Burges, The MNIST database of handwritten "
        "digits, 1998",
    },
    "cifar10": {
        "license": "none stated by its authors",
        "citation": "Krizhevsky, Learning Multiple Layers of Features from Tiny "
        "Images, 2009",
    },
}
SAMPLE = 200
#: Size in bytes above which float32 weights are rounded, so that they compress better.
LARGEST = 1_200_000
#: Numbers of significant bits to try; float16 has 11, float32 has 24.
SIGNIFICANT_BITS = range(12, 25)

FLAGS = flags.Flags()
FLAGS.string("only", None, "Model to write; default: all.")


def main(argv: list[str]) -> None:
    """Writes the weights of finished runs; prints which runs are missing."""
    comparison.parse_flags(argv, __doc__, FLAGS)
    startup.start()
    if FLAGS.only:
        zoo.list_recipes(FLAGS.only)  # raises UserError if there is no such model
    pretrained.DIRECTORY.mkdir(exist_ok=True)
    for model, recipe, dataset in SHIPPED:
        if FLAGS.only in (None, model):
            run = accuracy.run_dir(model, recipe, dataset, accuracy.SEEDS[0])
            if not run.finished or accuracy.followed(run) != accuracy.current(
                model, recipe, dataset
            ):
                place = run.path.relative_to(document.ROOT)
                print(f"left out: {place} is not a finished run of the current recipe")
                continue
            accuracy.export(model, recipe, dataset)
            info = write(run.path, dataset)
            print(
                f"{info.model}/{info.name}  {info.accuracy:.2%}  int8 "
                f"{info.int8_accuracy:.2%}  {info.dtype}  {info.bytes:,} bytes"
            )


def write(run_dir: pathlib.Path, dataset: str) -> pretrained.WeightsInfo:
    """Writes the weights of a run, their description and a sample of test images."""
    from zoo.runs import run as outcome

    trained = outcome.open_run(run_dir)
    identity = trained.config["identity"]
    model, data, test = trained.model, trained.config["data"], trained.dataset.test
    dtype, said = _precision(model, test)
    rows = np.linspace(0, len(test.y) - 1, SAMPLE).round().astype(int)
    names = identity["model"], dataset, identity["recipe"]
    path = pretrained.DIRECTORY / f"{pretrained.stem(*names)}.weights.h5"
    _save(model, path, dtype)
    if dtype == "float32" and path.stat().st_size > LARGEST:
        _round(model, test, said)
        _save(model, path, dtype)
    exported = trained.run.read_export()["artifacts"]
    (int8,) = (record for record in exported if record["name"] == "int8")
    command = _command(*names, identity["seed"], identity["precision"])
    info = pretrained.WeightsInfo(
        *names,
        seed=identity["seed"],
        precision=identity["precision"],
        command=command,
        accuracy=float((said == test.y).mean()),
        int8_accuracy=int8["accuracy"],
        parameters=model.count_params(),
        dtype=dtype,
        bytes=path.stat().st_size,
        sha256=files.sha256(path),
        input_shape=tuple(data["input_shape"]),
        class_names=tuple(data["class_names"]),
        num_train=data["num_train"],
        num_test=data["num_test"],
        test_sha256=test.sha256(),
        sample_classes=tuple(said[rows].tolist()),
        **ABOUT[dataset],
        versions=trained.result["versions"],
        date=trained.config["started"][:10],
        config=model.get_config(),
        run=_record(trained, dataset, command),
    )
    content = {"format": pretrained.FORMAT, **dataclasses.asdict(info)}
    files.write_json(path.with_name(f"{pretrained.stem(*names)}.json"), content)
    with files.replacing(pretrained.DIRECTORY / f"{dataset}.npz") as beside:
        np.savez_compressed(beside, x=test.x[rows], y=test.y[rows].astype(np.uint8))
    return info


def _record(trained: TrainedRun, dataset: str, command: str) -> dict[str, Any]:
    """Returns config.json and result.json without paths and facts of this machine."""
    config, result = dict(trained.config), dict(trained.result)
    named = {"name": dataset, "source": dataset}
    config["data"] = config["data"] | named | ABOUT[dataset]
    config["identity"] = config["identity"] | {"dataset": dataset}
    config |= dict.fromkeys(("dataset_used", "dataset_requested"), dataset)
    config |= {"data_dir": None, "git_commit": None}
    result |= dict.fromkeys(("dataset", "dataset_requested"), dataset)
    result["command"] = command
    with trained.run.metrics.open(encoding="utf-8", newline="") as file:
        metrics = list(csv.DictReader(file))
    return {"config": config, "result": result, "metrics": metrics}


def _predict(model: Any, test: Split) -> np.ndarray:
    """Returns the predicted class of each test image."""
    blocks = (model.predict(block, verbose=0) for block in test.blocks())
    return np.concatenate(list(blocks)).argmax(axis=1)


def _precision(model: Any, test: Split) -> tuple[str, np.ndarray]:
    """Makes the weights float16 if they predict the same; returns predictions."""
    weights, said = model.get_weights(), _predict(model, test)
    model.set_weights([w.astype(np.float16).astype(np.float32) for w in weights])
    if np.array_equal(said, _predict(model, test)):
        return "float16", said
    model.set_weights(weights)
    return "float32", said


def _round(model: Any, test: Split, said: np.ndarray) -> None:
    """Rounds the weights to the fewest bits with which they predict the same."""
    weights = model.get_weights()
    for bits in SIGNIFICANT_BITS:
        model.set_weights([rounded(w, bits) for w in weights])
        if np.array_equal(said, _predict(model, test)):
            return


def rounded(x: np.ndarray, bits: int) -> np.ndarray:
    """Rounds floats to a number of significant bits."""
    mantissa, exponent = np.frexp(x)  # mantissa from 0.5 to 1
    return np.ldexp(np.rint(mantissa * 2**bits) / 2**bits, exponent)


def _save(model: Any, path: pathlib.Path, dtype: str) -> None:
    """Writes weights like ``save_weights``, but as arrays of a given dtype."""
    import h5py

    # A model that is not compiled saves no state of the optimizer.
    bare = type(model).from_config(model.get_config())
    bare.build(model.get_build_config()["input_shape"])
    bare.set_weights(model.get_weights())
    with tempfile.TemporaryDirectory() as directory:
        full = pathlib.Path(directory) / "full.weights.h5"
        bare.save_weights(full)
        with (
            files.replacing(path) as beside,
            h5py.File(full) as source,
            # The newer layout makes small files, and large chunks compress well.
            h5py.File(beside, "w", libver="latest") as target,
        ):

            def copy(name: str, item: Any) -> None:
                if isinstance(item, h5py.Dataset):
                    smaller = {
                        "compression": "gzip",
                        "shuffle": True,
                        "chunks": item.shape,
                    }
                    options = smaller if item.size > 256 else {}
                    target.create_dataset(name, data=item[()].astype(dtype), **options)
                else:
                    target.require_group(name)
                target[name].attrs.update(item.attrs)

            source.visititems(copy)


def _command(model: str, dataset: str, recipe: str, seed: int, precision: str) -> str:
    flags = {"recipe": recipe, "dataset": dataset, "seed": seed, "precision": precision}
    usual = {"recipe": "default", "seed": 0, "precision": "float32"}
    asked = [f"--{k}={v}" for k, v in flags.items() if usual.get(k) != v]
    return " ".join(["python train.py", f"--model={model}", *asked])


if __name__ == "__main__":
    console.main(main)
