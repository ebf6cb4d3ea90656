"""TFDS: the network probe, and reading what is prepared: splits, sizes, damage."""

import contextlib
import http.server
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import requests
import tensorflow as tf
import tensorflow_datasets as tfds

from zoo.data import cache, load
from zoo.data.dataset import MappedImages
from zoo.data.tfds import is_reachable, silent_host
from zoo.errors import RunError, UserError


@pytest.fixture
def data_dir(tmp_path):
    """A data directory that does not exist yet."""
    return str(tmp_path / "tfds")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@contextlib.contextmanager
def server(status: int):
    """Answers every request with a status; yields the URL and the paths asked."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            asked.append(self.path)
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "http://127.0.0.1:9/")
            self.end_headers()

        do_CONNECT = do_HEAD

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{httpd.server_port}/", asked
        finally:
            httpd.shutdown()


@pytest.mark.parametrize("status", [200, 302, 404, 500])
def test_any_answer_counts(status):
    with server(status) as (url, asked):
        assert is_reachable(url) == (status != 302)  # it leads to nowhere
        assert asked == ["/"]


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/", "https://no-such-host.invalid/", "nonsense"]
)
def test_nothing_answers(url):
    assert not is_reachable(url)


def test_a_silent_host_and_a_silent_name_server_are_given_up(monkeypatch):
    start = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        assert not is_reachable(url, seconds=0.5)
    asked = threading.Event()

    def resolve(*args, **kwargs):
        asked.wait()
        raise OSError

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert not is_reachable("http://data.invalid/", seconds=0.5)
    assert time.monotonic() - start < 5
    asked.set()


def test_a_certificate_that_is_not_known_is_an_answer(monkeypatch):
    def refuse(*args, **kwargs):
        raise requests.exceptions.SSLError("self-signed")

    monkeypatch.setattr(requests.Session, "send", refuse)
    assert is_reachable("https://data.invalid/")


@pytest.mark.parametrize("status", [404, 503])
def test_http_through_a_proxy(monkeypatch, status):
    with server(status) as (proxy, asked):
        monkeypatch.setenv("http_proxy", proxy)
        assert is_reachable("http://data.invalid/") == (status == 404)
        assert asked == ["http://data.invalid/"]
        monkeypatch.setenv("no_proxy", "data.invalid")
        assert not is_reachable("http://data.invalid/")
        assert len(asked) == 1


def test_the_host_is_the_one_that_is_downloaded_from(data_dir, monkeypatch):
    monkeypatch.setattr("zoo.data.tfds.is_reachable", lambda url: False)
    builder = tfds.builder("cifar10", data_dir=data_dir)
    assert silent_host(builder) == "www.cs.toronto.edu"


class Fake(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A dataset that somebody else's builder has prepared.

    ``splits`` are the numbers of examples. All pixels of image i are i; with a
    ``shape`` of None each has a size of its own.
    """

    name = "someones_own"
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name="only")]
    splits: dict[str, int] = {}
    shape = (6, 5, 3)

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=self.shape),
            "label": tfds.features.ClassLabel(names=["a", "b"]),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label") if self.shape else None,
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {name: self._generate_examples(n) for name, n in self.splits.items()}

    def _generate_examples(self, count):
        for i in range(count):
            image = np.full(self.shape or (4 + i, 20 - i, 3), i, np.uint8)
            yield i, {"image": image, "label": i % 2}


@pytest.fixture
def fake(data_dir, monkeypatch):
    """Prepares made data with these splits; returns the dataset's name."""

    def prepare(**splits: int) -> str:
        monkeypatch.setattr(Fake, "splits", splits)
        Fake(data_dir=data_dir, config="only").download_and_prepare()
        return "someones_own/only"

    return prepare


@pytest.mark.parametrize(
    ("splits", "train", "test"),
    [
        ({"train": 50, "test": 5, "validation": 4}, range(50), range(5)),
        ({"train": 50, "validation": 4}, range(50), range(4)),
        ({"train": 50, "extra": 4}, range(40), range(40, 50)),
    ],
)
def test_prepared_folder_and_its_splits(fake, data_dir, splits, train, test):
    dataset = load.load(fake(**splits), data_dir=data_dir)
    assert dataset.train.x[:, 0, 0, 0].tolist() == list(train)
    assert dataset.test.x[:, 0, 0, 0].tolist() == list(test)
    assert dataset.spec.fingerprint == "someones_own/only/1.0.0"
    assert dataset.spec.name == "someones_own-only"


def test_no_train_split(fake, data_dir):
    name = fake(test=3)
    with pytest.raises(UserError, match=r"no split named train. Its splits: test"):
        load.load(name, data_dir=data_dir)


def test_images_of_many_sizes(fake, data_dir, monkeypatch):
    monkeypatch.setattr(Fake, "shape", None)
    name = fake(train=10)
    dataset = load.load(name, data_dir=data_dir)
    assert dataset.spec.input_shape == (4, 20, 3)  # that of the first one
    assert (dataset.spec.num_train, dataset.spec.num_test) == (8, 2)
    values = np.concatenate([dataset.train.x, dataset.test.x])
    assert (values == np.arange(10).reshape(10, 1, 1, 1)).all()
    resized = load.load(name, data_dir=data_dir, image_size=(3, 9))
    assert resized.train.x.shape == (8, 3, 9, 3)
    padded = load.load(name, data_dir=data_dir, image_size=(3, 9), resize="pad")
    # The eighth one, 11x13, fills 3x4 pixels in the middle.
    expected = np.zeros((3, 9, 3), np.uint8)
    expected[:, 2:6] = 7
    np.testing.assert_array_equal(padded.train.x[7], expected)


def test_both_parts_of_one_split_are_mapped(fake, data_dir, monkeypatch):
    name = fake(train=10)
    kept = load.load(name, data_dir=data_dir)
    monkeypatch.setattr(cache, "MAPPED_FROM", 10)
    mapped = load.load(name, data_dir=data_dir)
    for part in ("train", "test"):
        split = getattr(mapped, part)
        assert isinstance(split.x, MappedImages)
        np.testing.assert_array_equal(split.x[:], getattr(kept, part).x)
        np.testing.assert_array_equal(split.y, getattr(kept, part).y)


@pytest.mark.parametrize("damage", ["cut", "image", "missing"])
def test_damaged_records(fake, data_dir, damage):
    name = fake(train=10)
    path = next(Path(data_dir).glob("someones_own/*/*/*-train*"))
    if damage == "image":  # in a record that is whole
        records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
        with tf.io.TFRecordWriter(str(path)) as writer:
            for record in records:
                writer.write(record.replace(b"IDAT", b"XXXX"))
    elif damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(RunError, match=rf"'{name}/1.0.0' in .* damaged") as caught:
        load.load(name, data_dir=data_dir)
    assert "\n" not in str(caught.value)


def test_of_several_at_once_only_the_first_prepares(data_dir, monkeypatch):
    monkeypatch.setattr(Fake, "splits", {"train": 10})
    monkeypatch.setattr("zoo.data.tfds.is_reachable", lambda url: True)
    monkeypatch.setattr("zoo.data.tfds.exists", lambda *_: True)
    monkeypatch.setattr(
        tfds, "builder", lambda name, data_dir: Fake(data_dir=data_dir, config="only")
    )
    prepared, prepare = [], Fake._download_and_prepare

    def slowly(self, *args, **kwargs):
        prepared.append(self)
        time.sleep(1)
        prepare(self, *args, **kwargs)

    monkeypatch.setattr(Fake, "_download_and_prepare", slowly)
    sources = [load.find("someones_own", data_dir) for _ in range(2)]
    for source in sources:
        source.open()
    with ThreadPoolExecutor() as pool:
        one, other = pool.map(load.Source.read, sources)
    assert len(prepared) == 1
    np.testing.assert_array_equal(one.train.x, other.train.x)
