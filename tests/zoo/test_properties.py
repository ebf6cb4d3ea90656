"""What users bring, made up by hypothesis: a right answer, or one line of ours.

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
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from zoo import console, evaluation
from zoo.data import idx, load
from zoo.errors import UserError, ZooError
from zoo.evaluation import _shape_and_classes
from zoo.training import checkpoint
from zoo.training.config import Config, parse_image_size
from zoo.training.rundir import RunDir, differences

CASES = int(os.environ.get("SOAK_CASES", "2400"))


# What each test gets of them.
SHARES = {
    "test_idx_bytes": 0.25,
    "test_idx_directories": 0.1,
    "test_image_trees": 0.1,
    "test_image_sizes": 0.15,
    "test_flags": 0.1,
    "test_configs_edited_by_hand": 0.15,
    "test_results_edited_by_hand": 0.05,
    "test_backups_edited_by_hand": 0.1,
}


def cases(test):
    """Runs a test on its share of all cases."""
    return settings(
        max_examples=round(SHARES[test.__name__] * CASES),
        deadline=10_000,  # milliseconds: a hang fails
        database=None,
        suppress_health_check=list(HealthCheck),
    )(test)


@contextlib.contextmanager
def place():
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


@contextlib.contextmanager
def one_line_or_right(memory: int | None = None):
    """Passes errors of ours, of one line, and holds the memory to a limit."""
    tracemalloc.start()
    try:
        yield
    except ZooError as error:
        # Which console.main prints on one line, whatever was received.
        assert 10 < len(str(error)) < 2000
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    if memory is not None:
        assert peak < memory


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
    """The bytes of an IDX file: often right, sometimes with a header that lies."""
    shape = draw(st.lists(numbers, min_size=1, max_size=4))
    size = draw(st.integers(0, 400))
    if draw(st.booleans()) and np.prod(shape, dtype=object) < 2000:
        size = int(np.prod(shape, dtype=object))
    dimensions = draw(st.sampled_from([len(shape)] * 4 + [0, 1, 3, 255]))
    head = struct.pack(f">4B{len(shape)}I", 0, 0, 8, dimensions, *shape)
    return head + bytes(draw(st.randoms()).randbytes(size))


@st.composite
def content(draw, whole):
    """Bytes as they are, cut, with some replaced, gzipped, or with more behind."""
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


@cases
@given(content(idx_files()))
def test_idx_bytes(data):
    with place() as directory:
        path = directory / "train-images-idx3-ubyte"
        path.write_bytes(data)
        # A chunk of what is being unpacked, besides twice the file.
        with one_line_or_right(memory=2 * len(data) + (2 << 20)):
            shape = idx.check(path, (1, 3, 4))
            array = idx.read(path)
            assert array.shape == shape
            assert array.nbytes + 4 + 4 * len(shape) == len(_unzipped(data))


def _unzipped(data: bytes) -> bytes:
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


@cases
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
            contents = idx.find(directory).read()
            assert contents.train.y.max() < len(contents.class_names)


def _picture(kind: str, size: tuple[int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("L", size, 7).save(file, kind)
    return file.getvalue()


PICTURES = [
    _picture(kind, size)
    for kind in ("png", "jpeg", "bmp", "gif")
    for size in ((1, 1), (3, 5))
]


@cases
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
        for folder, stem, suffix, data in entries:
            path = directory / folder / f"{stem}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        with one_line_or_right(memory=24 << 20):
            tree = folder.scan(directory)
            if tree is not None:
                contents = tree.read((4, 4))
                assert contents.train.x.shape[1:3] == (4, 4)
                assert len(contents.train.x) == len(contents.train.y)


@cases
@given(
    st.text(max_size=12) | st.from_regex(r"-?\d{1,6}([xX]-?\d{1,6})?", fullmatch=True)
)
def test_image_sizes(text):
    with one_line_or_right():
        assert all(1 <= size <= 4096 for size in parse_image_size(text))


NAMES = ["model", "epochs", "learning_rate", "batch_size", "seed", "overwrite", "x"]


@cases
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
    import train

    train.FLAGS.unparse_flags()
    with one_line_or_right():
        console.parse_flags(["train.py", *arguments], "", train.FLAGS)
        if train.FLAGS.is_parsed():
            config = train.config_from_flags()
            config.check()
            assert isinstance(config, Config)


IDENTITY = {
    **{"model": "mlp", "recipe": "default", "dataset_fingerprint": "digits/1.0.0"},
    "settings": {"epochs": 3, "num_examples": 9, "model": {"hidden": [2, 3]}},
    "seed": 0,
}
CONFIG = {
    **{"dataset_used": "digits", "data_dir": None, "image_size": [3, 3]},
    "identity": IDENTITY,
    "data": {"class_names": ["a", "b"], "input_shape": [4, 4, 1]},
}


@st.composite
def edited(draw, original):
    """A JSON object of ours with one part replaced, as text, perhaps cut."""
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


def checked(name, *, data_dir, image_size, num_examples, seed, memory_limit):
    """Loads nothing, but looks at what it is given as ``load.load`` does."""
    load._check_image_size(image_size)
    load.check_name(name, data_dir)
    assert all(isinstance(n, int) for n in (num_examples, seed, memory_limit))
    return SimpleNamespace(spec=SimpleNamespace(fingerprint="digits/1.0.0"))


@cases
@given(edited(CONFIG) | JSON.map(json.dumps))
def test_configs_edited_by_hand(text):
    with place() as directory:
        run = RunDir(directory)
        run.config.write_text(text)
        with one_line_or_right():
            shape, names = _shape_and_classes(run)
            assert len(shape) in (1, 3)
            assert all(isinstance(name, str) for name in names)
        with one_line_or_right(), mock.patch.object(load, "load", checked):
            evaluation.run_dataset(run)
        with one_line_or_right():
            run.claim(IDENTITY, overwrite=False)
            assert differences(json.loads(text)["identity"], IDENTITY) == []


RESULT = {
    **dict.fromkeys(("model", "recipe", "dataset", "dataset_requested"), "text"),
    **dict.fromkeys(("num_params", "num_train_examples", "num_test_examples"), 7),
    **{"train_seconds": 1.5, "steps": 3, "examples_per_second": 9},
    "test": {"accuracy": 0.5, "loss": 1.0},
}


@cases
@given(edited(RESULT))
def test_results_edited_by_hand(text):
    from zoo.training import summary

    with place() as directory:
        run = RunDir(directory)
        run.result.write_text(text)
        with one_line_or_right():
            summary.summary(run.read_result(), directory, done_before=True).encode()


STATE = checkpoint.State(
    [np.arange(6, dtype=np.float32).reshape(2, 3), np.array(4, np.int64)],
    checkpoint.Progress(4, [{"epoch": 1, "loss": 0.25}], 1.5),
)


@cases
@given(st.data())
def test_backups_edited_by_hand(data):
    with place() as directory, contextlib.redirect_stderr(io.StringIO()) as said:
        checkpoint.save(directory, STATE)
        for path in sorted(directory.iterdir()):
            before = path.read_bytes()
            path.write_bytes(data.draw(content(st.just(before))))
        untouched = path.read_bytes() == before  # the manifest comes last
        manifest = directory / "step-000000004.json"
        if data.draw(st.booleans()):
            manifest.write_text(data.draw(edited(json.loads(before))))
        elif data.draw(st.booleans()):
            progress = json.loads(manifest.read_text()) if untouched else {}
            forge(manifest, data.draw(JSON | st.just(progress.get("progress"))))
            untouched = False
        with one_line_or_right(memory=8 << 20):
            state = checkpoint.load_newest(directory, STATE.arrays)
            assert state.progress == STATE.progress or not untouched
            for ours, theirs in zip(state.arrays, STATE.arrays, strict=True):
                np.testing.assert_array_equal(ours, theirs)
        assert said.getvalue().count("\n") <= 1


def forge(manifest: Path, progress: object) -> None:
    """Gives a manifest another progress, with a checksum that is right."""
    values = b"".join(array.tobytes() for array in STATE.arrays)
    with contextlib.suppress(ValueError):  # no JSON, as NaN
        digest = checkpoint._digest(progress)
        digest.update(values)
        content = {"sha256": digest.hexdigest(), "progress": progress}
        manifest.write_text(json.dumps(content))
        manifest.with_suffix(".bin").write_bytes(values)


def test_the_line_that_passes_is_one_of_ours():
    with pytest.raises(AssertionError), one_line_or_right():
        raise UserError("no" * 2000)
    with pytest.raises(ZeroDivisionError), one_line_or_right():
        1 / 0  # noqa: B018
    with pytest.raises(AssertionError), one_line_or_right(memory=1000):
        bytes(2000)
