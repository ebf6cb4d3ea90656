"""Tries made-up inputs: each gives a right answer or one of our one-line errors.

Never another exception, a hang, or memory beyond twice the file. CASES counts all of
them; ``make soak`` sets SOAK_CASES to a larger number.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import struct
import tempfile
import tracemalloc
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.zoo.training.test_rundir import CONFIG, IDENTITY

from zoo.data import folder, idx, images, load
from zoo.data.cache import Cache
from zoo.data.dataset import Dataset, DataSpec, Split
from zoo.errors import UserError, ZooError
from zoo.records.rundir import RunDir, differences
from zoo.runs import predict as evaluation
from zoo.runs import run as outcome
from zoo.runs.run import Run
from zoo.training import checkpoint, summary
from zoo.training.config import Config, parse_image_size

CASES = int(os.environ.get("SOAK_CASES", "2400"))


SHARES = {}  # the share of each test


def cases(share):
    """Runs a test with its share of all cases."""

    def decorate(test):
        SHARES[test.__name__] = share
        return settings(
            max_examples=round(share * CASES),
            deadline=10_000,  # milliseconds, so that a hang fails
            database=None,
            suppress_health_check=list(HealthCheck),
        )(test)

    return decorate


@contextlib.contextmanager
def place():
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


@contextlib.contextmanager
def one_line_or_right(memory: int | None = None):
    """Accepts our own one-line errors, and limits the memory."""
    tracemalloc.start()
    try:
        yield
    except ZooError as error:
        # console.main prints this on one line for any input.
        assert 10 < len(str(error)) < 2000
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    if memory is not None:
        assert peak < memory


# This cache writes nothing; splits are read into memory.
CACHE = Cache(Path("nowhere"), "made up", read_only=True)
small = st.integers(0, 6)
numbers = st.one_of(small, st.sampled_from([2**16, 2**31, 2**32 - 1]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)


@st.composite
def idx_files(draw):
    """Draws the bytes of an IDX file, sometimes with a wrong header."""
    shape = draw(st.lists(numbers, min_size=1, max_size=4))
    size = draw(st.integers(0, 400))
    if draw(st.booleans()) and np.prod(shape, dtype=object) < 2000:
        size = int(np.prod(shape, dtype=object))
    dimensions = draw(st.sampled_from([len(shape)] * 4 + [0, 1, 3, 255]))
    head = struct.pack(f">4B{len(shape)}I", 0, 0, 8, dimensions, *shape)
    return head + bytes(draw(st.randoms()).randbytes(size))


@st.composite
def content(draw, whole):
    """Draws bytes unchanged, cut, partly replaced, gzipped, or with more at the end."""
    data = bytearray(draw(whole))
    for _ in range(draw(st.integers(0, 2))):
        if data:
            data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    data = bytes(
        data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data
    )
    if draw(st.booleans()):
        bomb = draw(st.sampled_from([0, 0, 0, 3 << 20]))
        data = gzip.compress(data + bytes(bomb), 1)
        data = data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data
    return data


@cases(0.25)
@given(content(idx_files()))
def test_idx_bytes(data):
    with place() as directory:
        path = directory / "train-images-idx3-ubyte"
        path.write_bytes(data)
        # Twice the file, and a block that is being unpacked.
        with one_line_or_right(memory=2 * len(data) + (8 << 20)):
            size = idx.read_file(path, rank=3).nbytes
            content = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
            assert 0 < size == len(content) - 4 - 4 * content[3]


@cases(0.1)
@given(
    st.lists(
        content(st.just(struct.pack(">4BI", 0, 0, 8, 1, 4) + bytes([0, 1, 2, 1]))),
        min_size=2,
        max_size=2,
    ),
    st.none() | st.text(max_size=12),
)
def test_idx_directories(labels, names):
    images = struct.pack(">4B3I", 0, 0, 8, 3, 4, 2, 2) + bytes(16)
    with place() as directory:
        for split, data in zip(("train", "t10k"), labels, strict=True):
            (directory / f"{split}-labels-idx1-ubyte").write_bytes(data)
            (directory / f"{split}-images-idx3-ubyte").write_bytes(images)
        if names is not None:
            text = names.encode("utf-8", "surrogatepass")
            (directory / "labels.txt").write_bytes(text)
        with one_line_or_right():
            contents = idx.find(directory).read(CACHE)
            assert contents.train.y.max() < len(contents.class_names)


def picture(kind: str, size: tuple[int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("L", size, 7).save(file, kind)
    return file.getvalue()


KINDS = ("png", "jpeg", "bmp", "gif")
PICTURES = [picture(kind, size) for kind in KINDS for size in ((1, 1), (3, 5))]


@cases(0.1)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "train/a", "test/a", "train", "test/b", "."]),
            st.text("az.\u00e9 0", min_size=1, max_size=4),
            st.sampled_from([".png", ".JPG", ".gif", ".bmp", ".txt"]),
            content(st.sampled_from(PICTURES)),
        ),
        max_size=6,
    )
)
def test_image_trees(entries):
    with place() as directory:
        for parent, stem, suffix, data in entries:
            path = directory / parent / f"{stem}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        with one_line_or_right(memory=24 << 20):
            tree = folder.scan(directory)
            if tree is not None:
                nowhere = Cache(directory / "x", "x", read_only=True)
                contents = images.read(tree, nowhere, (4, 4))
                assert contents.train.x.shape[1:3] == (4, 4)
                assert len(contents.train.x) == len(contents.train.y)


@cases(0.15)
@given(
    st.text(max_size=12) | st.from_regex(r"-?\d{1,6}([xX]-?\d{1,6})?", fullmatch=True)
)
def test_image_sizes(text):
    with one_line_or_right():
        assert all(1 <= size <= 4096 for size in parse_image_size(text))


NAMES = ["model", "epochs", "learning_rate", "batch_size", "seed", "overwrite", "x"]


@cases(0.1)
@given(
    st.lists(
        st.builds(
            "--{}{}={}".format,
            st.sampled_from(["", "no"]),
            st.sampled_from(NAMES),
            st.text(max_size=6) | st.sampled_from(["mlp", "3", "-1", "1e999", "nan"]),
        )
        | st.text(max_size=6).filter(
            lambda text: text.lstrip("-") not in ("h", "help")
        ),
        max_size=4,
    )
)
def test_flags(arguments):
    from zoo.commands import flags, train

    train.FLAGS.unparse_flags()
    with one_line_or_right():
        flags.parse(["train.py", *arguments], "", train.FLAGS)
        if train.FLAGS.is_parsed():
            config = train.config_from_flags()
            config.check()
            assert isinstance(config, Config)


EXAMPLE = CONFIG | {
    "image_size": [3, 3],
    "identity": IDENTITY | {"validation": 0.25},
    "brightness": {"lowest": 1.0, "mean": 2.0, "highest": 3.0},
    "is_sample": False,
    "tested_on": "200 images",
    "weights": {"name": "mlp/mnist"},
}


@st.composite
def edited(draw, original):
    """Draws the text of a JSON object with one part replaced, perhaps cut."""
    whole = json.loads(json.dumps(original))
    part = whole
    for _ in range(draw(st.integers(1, 3))):
        if not isinstance(part, dict) or not part:
            break
        key = draw(st.sampled_from(sorted(part)))
        if isinstance(part[key], dict) and draw(st.booleans()):
            part = part[key]
        else:
            part[key] = draw(JSON)
            break
    text = json.dumps(whole)
    return text[: draw(st.integers(0, len(text)))] if draw(st.booleans()) else text


class Opened:
    """Reads nothing, but checks its arguments like ``Source.read``."""

    def __init__(self, name, *, default, data_dir, only_this):
        load.check_name(name, data_dir)

    def read(self, *, image_size, num_examples, seed, memory_limit, **options):
        assert options.keys() == {"read_only", "skip_damaged"}
        load._check_image_size(image_size)
        assert all(isinstance(n, int) for n in (num_examples, seed, memory_limit))
        x, y = np.zeros((12, 1, 1, 1), np.uint8), np.arange(12, dtype=np.int32) % 2
        spec = DataSpec(
            name="digits",
            source="digits/1.0.0",
            fingerprint="digits/1.0.0",
            task="classification",
            input_shape=(1, 1, 1),
            num_classes=2,
            class_names=("a", "b"),
            num_train=12,
            num_test=12,
        )
        return Dataset(spec, Split(x, y), Split(x, y))


def same_data(source, spec, recorded):
    return spec.fingerprint == recorded


@cases(0.15)
@given(edited(EXAMPLE) | JSON.map(json.dumps))
def test_configs_edited_by_hand(text):
    with place() as directory:
        run = RunDir(directory)
        run.config.write_text(text)
        with one_line_or_right():
            data = run.read_config()["data"]
            assert len(data["input_shape"]) in (1, 3)
            assert all(isinstance(name, str) for name in data["class_names"])
            image = np.zeros((1, 2, 2, 1), np.uint8)
            brightness = run.read_config().get("brightness")
            evaluation._check_brightness(["a"], image, brightness, False)
        with (
            one_line_or_right(),
            mock.patch.object(load, "open_dataset", Opened),
            mock.patch.object(load, "same_data", same_data),
        ):
            outcome.run_dataset(run)
        with one_line_or_right():
            run.claim(EXAMPLE["identity"], overwrite=False)
            before = json.loads(text)["identity"]
            before["settings"].pop("steps_per_execution", None)
            assert differences(before, EXAMPLE["identity"]) == []


RESULT = {
    "model": "text",
    "recipe": "text",
    "dataset": "text",
    "dataset_requested": "text",
    "num_params": 7,
    "num_train_examples": 7,
    "num_test_examples": 7,
    "train_seconds": 1.5,
    "steps": 3,
    "examples_per_second": 9,
    "test": {"accuracy": 0.5, "loss": 1.0},
}
LINE = {"weight": 1.0, "bias": 2.0}
LINES = {"learned": LINE, "true": LINE, "least_squares": LINE}


@cases(0.03)
@given(edited(RESULT) | edited(RESULT | LINES))
def test_results_edited_by_hand(text):
    with place() as directory:
        run = RunDir(directory)
        run.result.write_text(text)
        run.config.write_text(json.dumps(CONFIG))
        with one_line_or_right():
            summary.summary(Run(run, done_before=True)).encode()


ARRAYS = [np.arange(6, dtype=np.float32).reshape(2, 3), np.array(4, np.int64)]
PROGRESS = checkpoint.Progress(4, [{"epoch": 1, "loss": 0.25}], 1.5)


@cases(0.1)
@given(st.data())
def test_backups_edited_by_hand(data):
    with place() as directory, contextlib.redirect_stderr(io.StringIO()) as said:
        checkpoint.save(directory, ARRAYS, PROGRESS)
        (path,) = directory.iterdir()
        is_forged = data.draw(st.booleans())
        if is_forged:
            written = {"step": 4, "rows": PROGRESS.rows, "seconds": 1.5}
            text = data.draw(edited(written) | JSON.map(json.dumps)).encode()
            progress = np.frombuffer(text, np.uint8)
            np.savez(path, **{"0": ARRAYS[0], "1": ARRAYS[1], "progress": progress})
        else:
            path.write_bytes(data.draw(content(st.just(path.read_bytes()))))
        with one_line_or_right(memory=8 << 20):
            arrays, progress = checkpoint.load_newest(directory, ARRAYS)
            assert progress == PROGRESS or is_forged
            for ours, theirs in zip(arrays, ARRAYS, strict=True):
                np.testing.assert_array_equal(ours, theirs)
        assert said.getvalue().count("\n") <= 1


def test_the_line_that_passes_is_one_of_ours():
    with pytest.raises(AssertionError), one_line_or_right():
        raise UserError("no" * 2000)
    with pytest.raises(ZeroDivisionError), one_line_or_right():
        1 / 0  # noqa: B018
    with pytest.raises(AssertionError), one_line_or_right(memory=1000):
        bytes(2000)
