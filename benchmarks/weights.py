"""Writes the weights that come with the zoo, from the finished runs of `make results`.

    python -m benchmarks.weights                  writes all weights
    python -m benchmarks.weights --only=resnet    writes the weights of one model

For each run of the first seed, writes the run zoo/weights/MODEL-DATASET[-RECIPE]: its
records without paths of this machine, its weights in as few bytes as keep all
predictions, and 200 images of its test split.
"""

from __future__ import annotations

import io
import pathlib
import shutil
import tempfile
import zipfile
from typing import Any

import h5py
import numpy as np

import zoo
from benchmarks import accuracy, document
from zoo import console, files, startup
from zoo.commands import flags
from zoo.records import weights
from zoo.records.rundir import RunDir

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
    flags.parse_only(argv, __doc__, FLAGS)
    startup.start()
    if FLAGS.only:
        zoo.list_recipes(FLAGS.only)  # raises UserError if there is no such model
    for model, recipe, dataset in SHIPPED:
        if FLAGS.only not in (None, model):
            continue
        run = accuracy.run_dir(model, recipe, dataset, accuracy.SEEDS[0])
        if not run.finished or accuracy.followed(run) != accuracy.current(
            model, recipe, dataset
        ):
            place = run.path.relative_to(document.ROOT)
            print(f"left out: {place} is not a finished run of the current recipe")
            continue
        accuracy.export(model, recipe, dataset)
        name = weights.stem(model, dataset, recipe)
        write(run.path, dataset, weights.DIRECTORY / name)
        info = zoo.weights_info(*name.replace("-", "/").split("/", 1))
        print(
            f"{info.name}  {info.accuracy:.2%}  int8 {info.int8_accuracy:.2%}  "
            f"{info.bytes:,} bytes"
        )


def write(run_dir: pathlib.Path, dataset: str, directory: pathlib.Path) -> None:
    """Writes the weights of a finished and exported run as a run of their own."""
    from zoo.runs.run import open_run

    trained, run = open_run(run_dir), RunDir(directory)
    directory.mkdir(parents=True, exist_ok=True)
    config, result, test = trained.config, trained.result, trained.dataset.test
    said = _save_smallest(trained.model, test, run.model)
    rows = np.linspace(0, len(test.y) - 1, SAMPLE).round().astype(int)
    with files.replacing(run.sample) as beside:
        np.savez_compressed(beside, x=test.x[rows], y=test.y[rows].astype(np.uint8))
    named = {"name": dataset, "source": dataset}
    identity = config["identity"]
    config |= {
        "data": config["data"] | named | ABOUT[dataset],
        "identity": identity | {"dataset": dataset},
        "dataset_used": dataset,
        "dataset_requested": dataset,
        "data_dir": None,
        "git_commit": None,
        "test_sha256": test.sha256(),
    }
    result |= {
        "command": _command(dataset, identity),
        "dataset": dataset,
        "dataset_requested": dataset,
        "test": result["test"] | {"accuracy": float((said == test.y).mean())},
        "int8_accuracy": accuracy.exported(trained.run)["int8"].accuracy,
        "sample_classes": said[rows].tolist(),
    }
    files.write_json(run.config, config)
    shutil.copy(trained.run.metrics, run.metrics)
    files.write_json(run.result, result)


def _save_smallest(model: Any, test: Any, path: pathlib.Path) -> np.ndarray:
    """Saves a model in as few bytes as keep all predictions; returns these.

    The weights are saved in float16 if that changes no prediction. Otherwise, large
    files are rounded to the fewest significant bits that change none.
    """
    exact, said = model.get_weights(), _predict(model, test)
    model.set_weights([w.astype(np.float16).astype(np.float32) for w in exact])
    if np.array_equal(said, _predict(model, test)):
        _save(model, path, "float16")
        return said
    model.set_weights(exact)
    _save(model, path, "float32")
    if path.stat().st_size > LARGEST:
        for bits in SIGNIFICANT_BITS:
            model.set_weights([rounded(w, bits) for w in exact])
            if np.array_equal(said, _predict(model, test)):
                break
        _save(model, path, "float32")
    return said


def _predict(model: Any, test: Any) -> np.ndarray:
    """Returns the predicted class of each test image."""
    blocks = (model.predict(block, verbose=0) for block in test.blocks())
    return np.concatenate(list(blocks)).argmax(axis=1)


def rounded(x: np.ndarray, bits: int) -> np.ndarray:
    """Rounds floats to a number of significant bits."""
    mantissa, exponent = np.frexp(x)  # mantissa from 0.5 to 1
    return np.ldexp(np.rint(mantissa * 2**bits) / 2**bits, exponent)


def _save(model: Any, path: pathlib.Path, dtype: str) -> None:
    """Saves a .keras file whose weights are compressed arrays of a given dtype."""
    # A model that is not compiled saves no state of the optimizer.
    bare = type(model).from_config(model.get_config())
    bare.build(model.get_build_config()["input_shape"])
    bare.set_weights(model.get_weights())
    with tempfile.TemporaryDirectory() as directory:
        full = pathlib.Path(directory) / "full.keras"
        bare.save(full)
        with (
            files.replacing(path) as beside,
            zipfile.ZipFile(full) as source,
            zipfile.ZipFile(beside, "w") as target,
        ):
            for name in source.namelist():
                content = source.read(name)
                if name.endswith(".h5"):
                    content = _compressed(content, dtype)
                target.writestr(name, content)


def _compressed(content: bytes, dtype: str) -> bytes:
    """Returns an HDF5 file with its arrays compressed and of a given dtype."""
    compressed = io.BytesIO()
    with (
        h5py.File(io.BytesIO(content)) as source,
        # The newer layout makes small files, and large chunks compress well.
        h5py.File(compressed, "w", libver="latest") as target,
    ):

        def copy(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                smaller = {"compression": "gzip", "shuffle": True, "chunks": item.shape}
                options = smaller if item.size > 256 else {}
                target.create_dataset(name, data=item[()].astype(dtype), **options)
            else:
                target.require_group(name)
            target[name].attrs.update(item.attrs)

        source.visititems(copy)
    return compressed.getvalue()


def _command(dataset: str, identity: dict[str, Any]) -> str:
    flags = {"recipe": identity["recipe"], "dataset": dataset}
    flags |= {name: identity[name] for name in ("seed", "precision")}
    usual = {"recipe": "default", "seed": 0, "precision": "float32"}
    asked = [f"--{k}={v}" for k, v in flags.items() if usual.get(k) != v]
    return " ".join(["python train.py", f"--model={identity['model']}", *asked])


if __name__ == "__main__":
    console.main(main)
