"""Tries made-up inputs: each gives a right answer or one of our one-line errors.

CASES counts all of them; ``make soak`` sets SOAK_CASES to a larger number.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import struct
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import zoo
from tests.zoo.records.test_rundir import CONFIG, IDENTITY
from zoo.commands import flags, train
from zoo.errors import ZooError
from zoo.records.rundir import RunDir
from zoo.training import checkpoint
from zoo.training.config import Config, parse_image_size

CASES = int(os.environ.get("SOAK_CASES", "400"))
SHARES = {}  # the share of each test


def cases(share):
    """Runs a test with its share of all cases."""

    def decorate(test):
        SHARES[test.__name__] = share
        return settings(
            max_examples=round(share * CASES),
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )(test)

    return decorate


@contextlib.contextmanager
def place():
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


@contextlib.contextmanager
def one_line_or_right():
    """Accepts our own errors, which are printed on one line."""
    try:
        yield
    except ZooError as error:
        assert 10 < len(str(error)) < 2000


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
    """Draws bytes unchanged, cut, partly replaced or gzipped."""
    data = bytearray(draw(whole))
    for _ in range(draw(st.integers(0, 2))):
        if data:
            data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    for change in (bytes, gzip.compress):
        if draw(st.booleans()):
            data = change(data)
            data = data[: draw(st.integers(0, len(data)))] if draw(small) else data
    return bytes(data)


LABELS = struct.pack(">4BI", 0, 0, 8, 1, 4) + bytes([0, 1, 2, 1])
IMAGES = struct.pack(">4B3I", 0, 0, 8, 3, 4, 2, 2) + bytes(range(16))


@cases(0.3)
@given(
    content(idx_files() | st.just(IMAGES)),
    content(st.just(LABELS)),
    st.none() | st.text(max_size=12),
)
def test_idx_directories(images, labels, names):
    with place() as directory:
        files = {
            "train-images-idx3-ubyte": images,
            "train-labels-idx1-ubyte": labels,
            "t10k-images-idx3-ubyte": IMAGES,
            "t10k-labels-idx1-ubyte": LABELS,
        }
        if names is not None:
            files["labels.txt"] = names.encode("utf-8", "surrogatepass")
        for name, data in files.items():
            (directory / name).write_bytes(data)
        with one_line_or_right():
            data = zoo.load_dataset(str(directory), data_dir=str(directory / "data"))
            assert len(data.train.x) == len(data.train.y) > 0
            assert data.train.y.max() < len(data.spec.class_names)


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
            path = directory / "tree" / parent / f"{stem}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        with one_line_or_right():
            data = zoo.load_dataset(
                str(directory / "tree"),
                data_dir=str(directory / "data"),
                image_size=(4, 4),
            )
            assert data.train.x.shape[1:3] == (4, 4)
            assert len(data.train.x) == len(data.train.y)


@cases(0.1)
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
    with one_line_or_right():
        flags.parse(["train.py", *arguments], "", train.FLAGS)
        assert isinstance(train.config_from_flags(), Config)


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


@cases(0.2)
@given(edited(CONFIG) | JSON.map(json.dumps))
def test_configs_edited_by_hand(text):
    with place() as directory:
        run = RunDir(directory)
        run.config.write_text(text)
        with one_line_or_right():
            data = run.read_config()["data"]
            assert len(data["input_shape"]) in (1, 3)
            assert all(isinstance(name, str) for name in data["class_names"])
        with one_line_or_right():
            run.claim(IDENTITY, overwrite=False)
            assert json.loads(text)["identity"]["settings"] == IDENTITY["settings"]


ARRAYS = [np.arange(6, dtype=np.float32).reshape(2, 3), np.array(4, np.int64)]
PROGRESS = checkpoint.Progress(4, [{"epoch": 1, "loss": 0.25}], 1.5)


@cases(0.2)
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
        with one_line_or_right():
            arrays, progress = checkpoint.load_newest(directory, ARRAYS)
            assert progress == PROGRESS or is_forged
            for ours, theirs in zip(arrays, ARRAYS, strict=True):
                np.testing.assert_array_equal(ours, theirs)
        assert said.getvalue().count("\n") <= 1
