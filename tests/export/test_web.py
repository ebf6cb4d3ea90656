"""Tests the web page: its folder, and the page in a real browser."""

from __future__ import annotations

import functools
import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import threading

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageCms

import export
import zoo
from export import web
from tests.conftest import ROOT
from tests.export.conftest import ask, copied, records
from zoo.data import decode
from zoo.data.source import RESIZES
from zoo.errors import RunError, UserError

MODULES = ROOT / "export" / "page" / "node_modules"
VISIT = pathlib.Path(__file__).parent / "browser" / "visit.mjs"
NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)

needs_node = pytest.mark.skipif(
    not (shutil.which("node") and shutil.which("npm")), reason="Node is not installed"
)
needs_litert = pytest.mark.skipif(
    not (MODULES / "@litertjs").exists(),
    reason="LiteRT.js is not installed: run npm ci in export/page",
)


def in_browser(test):
    """Marks a test that visits the page; skips it if there is no browser."""
    able = CHROMIUM and (MODULES / "playwright-core").exists()
    reason = "Chromium is not installed, or playwright-core: run npm ci in export/page"
    return pytest.mark.slow(
        needs_node(pytest.mark.skipif(not able, reason=reason)(test))
    )


@pytest.fixture(scope="module")
def page(train, request):
    """The page of a run on MNIST, or on digits if MNIST is absent."""
    try:
        dataset = str(request.getfixturevalue("mnist_dir"))
    except pytest.skip.Exception:
        dataset = "digits"
    trained = train("mlp", dataset, epochs=12)
    export.export_run(trained, ["tflite", "web"], tflite_files="float32,int8")
    return trained.run.export / "web"


@pytest.fixture
def page_copy(page, tmp_path):
    """A copy of the page, which tests may damage."""
    return shutil.copytree(page, tmp_path / "web")


@pytest.fixture(scope="module")
def serving():
    """Returns a function that serves a folder and returns its address."""
    servers = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    def serve_folder(folder):
        handler = functools.partial(Handler, directory=folder)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/"

    yield serve_folder
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def visit(serving):
    """Returns a function that does something in a browser and returns what it saw."""

    def go(folder, what, *, errors=0, **options):
        url = serving(folder)
        order = {"url": url, "chromium": CHROMIUM, "modules": str(MODULES)}
        done = subprocess.run(
            ["node", str(VISIT), json.dumps(order | {"do": what} | options)],
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        seen = json.loads(done.stdout)
        assert seen["errors"] == []
        assert len(seen["console"]) == errors, seen["console"]
        assert all(request.startswith(url) for request in seen["requests"])
        return seen

    return go


def in_python(folder, name, images):
    """Returns the float32 probabilities of a file of the page, by LiteRT in Python."""
    return ask(folder / f"model_{name}.tflite", images)[0]


def examples_of(folder):
    page = json.loads((folder / "page.json").read_text())
    content = np.frombuffer((folder / "examples.bin").read_bytes(), np.uint8)
    images = content.reshape(-1, *page["input_shape"])
    return images, np.array(page["examples"]["labels"]), page


def in_node(code, given=None):
    """Runs JavaScript that reads and prints JSON; returns the printed value."""
    done = subprocess.run(
        ["node", "--input-type=module", "-e", code],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@needs_node
@needs_litert
def test_the_folder_is_whole_and_the_other_formats_stay(runs, tmp_path):
    trained = copied(runs("linear"), tmp_path / "run")
    before, test = records(trained), trained.dataset.test
    export.export_run(trained, ["web"], plots=False)
    folder = trained.run.export / "web"
    images, labels, page = examples_of(folder)
    assert len(images) == len(labels) == 200
    known = {
        (image.tobytes(), int(label))
        for image, label in zip(test.x, test.y, strict=True)
    }
    shown = zip(images, labels, strict=True)
    assert all((image.tobytes(), int(label)) in known for image, label in shown)
    assert np.bincount(labels, minlength=10).min() >= 10
    for file in page["files"]:
        assert file["sha256"] == zoo.files.checksum(folder / file["path"])
    assert [file["name"] for file in page["files"]] == ["int8", "float32"]
    assert page["draw"] is True
    text = "".join(path.read_text() for path in folder.glob("*.[hjc]*"))
    assert not re.search(r"https?://", text)
    assert (folder / "litert" / "wasm" / "litert_wasm_internal.wasm").exists()
    listed = records(trained).pop("page")
    assert (listed.path, listed.sha256) == ("web", zoo.files.checksum(folder))
    assert records(trained) == before | {"page": listed}
    export.export_run(trained, ["saved_model"], plots=False)
    assert records(trained)["page"] == listed
    assert "LiteRT.js" in (trained.run.export / "README.md").read_text()


@needs_node
@needs_litert
def test_a_page_offers_the_files_that_there_are(small):
    export.export_run(small, ["web"], plots=False)
    _, _, page = examples_of(small.run.export / "web")
    assert [file["name"] for file in page["files"]] == ["float32"]
    assert not (small.run.export / "web" / "model_int8.tflite").exists()


@needs_node
def test_a_page_without_any_file_is_left_out(small):
    asked = {"tflite_files": "float16", "plots": False}
    message = "web was left out: it needs int8 or float32 of tflite. Exported to .*16"
    with pytest.raises(RunError, match=message):
        export.export_run(small, ["tflite", "web"], **asked)
    assert list(records(small)) == ["float16"]
    with pytest.raises(RunError, match=r"of tflite\. Nothing was exported\."):
        export.export_run(small, ["web"], plots=False)


def test_a_quarter_of_the_examples_are_mistakes_where_there_are_so_many():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 2000)
    outputs = np.eye(10)[labels] * 0.5 + rng.uniform(0, 0.6, (2000, 10))
    wrong = outputs.argmax(axis=1) != labels
    assert wrong.sum() > 60
    chosen = web.examples(labels, outputs, 784)
    assert len(set(chosen)) == 200
    assert wrong[chosen].sum() == 50
    assert (
        outputs[chosen].max(axis=1)[wrong[chosen]].min()
        >= np.sort(outputs[wrong].max(axis=1))[-50]
    )
    assert len(web.examples(labels, outputs, 1_000_000)) == 8
    assert len(web.examples(labels[:30], outputs[:30], 784)) <= 30


def test_without_node_it_is_refused(small, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"web needs Node.* Not found: node, npm\."):
        export.export_run(small, ["web"])


@pytest.mark.parametrize("word", ["error", "ERR!"])  # npm 10 and later, and earlier
def test_without_a_network_npm_says_why(tmp_path, monkeypatch, word):
    page = tmp_path / "page"
    page.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(web.PAGE / name, page / name)
    npm = tmp_path / "npm"
    npm.write_text(f"#!/bin/sh\necho 'npm {word} network no way' >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setattr(web, "PAGE", page)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(RunError, match=f"by npm: npm {word} network no way") as caught:
        web.packages()
    assert "\n" not in str(caught.value)


def test_the_lock_file_pins_and_names_no_registry():
    lock = json.loads((web.PAGE / "package-lock.json").read_text())
    asked = json.loads((web.PAGE / "package.json").read_text())
    for name, version in {**asked["dependencies"], **asked["devDependencies"]}.items():
        assert lock["packages"][f"node_modules/{name}"]["version"] == version
    assert "resolved" not in json.dumps(lock)
    packages = [entry for path, entry in lock["packages"].items() if path]
    assert all(entry["integrity"].startswith("sha512-") for entry in packages)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_demo_hands_its_arguments_to_train_whatever_is_there(tmp_path):
    (tmp_path / "installed").touch()
    (tmp_path / "result.json").touch()
    asked = (f"VENV={tmp_path}", f"DEMO={tmp_path}", "RUN=echo", "ARGS=--model=linear")
    done = subprocess.run(
        ["make", "-s", "demo", *asked],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    first, export_web, _ = done.stdout.splitlines()
    assert first.startswith(f"train.py --model=linear --run_dir={tmp_path} ")
    assert export_web == f"-m export --run_dir={tmp_path} --formats=web"


@needs_node
def test_a_drawing_is_centered_and_scaled_as_mnist_was():
    """Compares with area means in NumPy, and with MNIST's center of mass."""
    rng = np.random.default_rng(0)
    code = (
        f"import {{ centered }} from '{(web.PAGE / 'pixels.js').as_uri()}';"
        "const rows = JSON.parse(await new Response(process.stdin).text());"
        "console.log(JSON.stringify(rows.map(([w, h, ink]) =>"
        "{ const field = centered(ink, w, h); return field && Array.from(field); })));"
    )
    drawings = []
    for width, height in ((280, 280), (280, 280), (97, 41), (28, 28)):
        ink = np.zeros((height, width), np.uint8)
        for _ in range(4):
            x, y = rng.integers(0, width * 2 // 3), rng.integers(0, height * 2 // 3)
            w, h = rng.integers(3, width // 3), rng.integers(3, height // 3)
            ink[y : y + h, x : x + w] = rng.integers(100, 256)
        drawings.append(ink)
    drawings.append(np.zeros((9, 9), np.uint8))
    rows = [[d.shape[1], d.shape[0], d.ravel().tolist()] for d in drawings]
    *fields, empty = in_node(code, rows)
    assert empty is None
    for ink, field in zip(drawings, fields, strict=False):
        field = np.array(field).reshape(28, 28)
        rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
        cut = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        factor = 20 / max(cut.shape)
        size = [max(1, round(side * factor)) for side in cut.shape]
        # Area means: pixels are repeated until whole pixels form each new one.
        small = cut.repeat(size[0], axis=0).repeat(size[1], axis=1).astype(float)
        small = small.reshape(size[0], cut.shape[0], size[1], cut.shape[1]).mean((1, 3))
        found = np.argwhere(field)
        top, left = found.min(axis=0)
        inside = field[top : top + size[0], left : left + size[1]]
        assert field.sum() == inside.sum()
        np.testing.assert_allclose(inside, small, atol=0.51)
        center = (np.argwhere(field) * field[field > 0][:, None]).sum(0) / field.sum()
        at_edge = top in (0, 28 - size[0]) or left in (0, 28 - size[1])
        assert at_edge or (np.abs(center - 14) <= 0.51).all()


@needs_node
@pytest.mark.parametrize("how", RESIZES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("size", "target"),
    [
        ((150, 97), (28, 28)),
        ((56, 84), (28, 28)),
        ((133, 70), (32, 24)),
        ((9, 14), (32, 24)),
        ((5, 6), (3, 3)),
        ((2, 90), (8, 8)),
        ((8, 8), (8, 8)),
    ],
)
def test_an_image_is_resized_as_training_does(size, target, channels, how):
    image = np.random.default_rng(0).integers(0, 256, (*size, 4)).astype(np.uint8)
    code = (
        f"import {{ resized }} from '{(web.PAGE / 'pixels.js').as_uri()}';"
        "const [rgba, [height, width], shape, how] ="
        " JSON.parse(await new Response(process.stdin).text());"
        "const read = (top, count) =>"
        " rgba.slice(4 * width * top, 4 * width * (top + count));"
        "const pixels = resized(read, { width, height }, shape, how);"
        "console.log(JSON.stringify([...pixels]));"
    )
    got = in_node(code, [image.ravel().tolist(), size, [*target, channels], how])
    expected = decode.resize(decode.to_channels(image, channels), *target, how).numpy()
    apart = np.abs(np.reshape(got, expected.shape) - expected)
    # The difference is 0 on x86-64; processors with fused products may round halves up.
    assert apart.max() <= 1
    assert (apart > 0).mean() < 0.003


@in_browser
@pytest.mark.parametrize("name", ["int8", "float32"])
def test_200_test_images_get_the_class_that_python_gives_them(page, visit, name):
    images, labels, content = examples_of(page)
    expected = in_python(page, name, images)
    seen = visit(page, "examples", file=name)
    assert seen["first_answer_ms"] < 3000
    assert sorted(int(one["example"]) for one in seen["answers"]) == [*range(200)]
    for one in seen["answers"]:
        i = int(one["example"])
        assert [name for name, _ in one["bars"]] == content["classes"]
        shares = np.array([share for _, share in one["bars"]])
        np.testing.assert_allclose(shares, expected[i], atol=0.02)
        assert one["best"] == content["classes"][expected[i].argmax()]
        right = expected[i].argmax() == labels[i]
        assert one["group"] == ("right" if right else "wrong")


@in_browser
def test_what_is_drawn_is_read(page, visit):
    seen = visit(page, "drawing")
    assert "ink fits 20x20 pixels" in seen["prepared"]
    assert "center of mass is moved to the middle of 28x28" in seen["prepared"]
    for digit, answer in seen["mouse"].items():
        assert answer["best"] == digit
        assert answer["example"] == ""
        assert answer["spoken"].startswith(f"{digit}, ")
    # The other file classifies the same drawing.
    assert (seen["other"]["best"], seen["other"]["example"]) == ("7", "")
    assert seen["other"]["bars"] != seen["mouse"]["7"]["bars"]
    assert seen["cleared"]["best"] == "\u2013"
    assert seen["keyboard"]["best"] == "1"
    assert seen["invited"] == [True, False, True]
    assert re.match(r"(Less than 0.001|0.0*[1-9]|[1-9]\d*\.\d) ms per ", seen["time"])


@in_browser
def test_the_file_chosen_last_is_used_and_what_is_cleared_stays_so(page, visit):
    seen = visit(page, "choices")
    assert seen["chosen"] == seen["used"] == "int8"
    assert seen["cleared"]["best"] == "\u2013"


@in_browser
def test_fingers_draw_on_a_phone(page, visit):
    seen = visit(page, "touch")
    for digit, answer in seen["touch"].items():
        assert answer["best"] == digit
    assert seen["width"] == 360
    assert max(seen["bottoms"].values()) < 640, seen["bottoms"]
    assert seen["bottoms"]["drop"] < 240
    assert all(height >= 44 for _, height in seen["targets"]), seen["targets"]


@in_browser
def test_keyboard_and_screen_reader_reach_everything(page, visit):
    seen = visit(page, "access")
    controls = {"button", "combobox", "radio", "image", "link", "group"}
    named = [(role, name) for role, name in seen["tree"] if role in controls]
    assert len(named) >= 9
    assert all(name for _, name in named), named
    for stop in ("pad", "clear", "file", "right", "previous", "next", "model-file"):
        assert stop in seen["stops"], seen["stops"]


def change_int8(change):
    """Returns a function that damages a page by changing its int8 file."""

    def spoil(folder):
        path = folder / "model_int8.tflite"
        path.write_bytes(change(path.read_bytes()))

    return spoil


@in_browser
@pytest.mark.parametrize(
    ("spoil", "message", "errors"),
    [
        (lambda w: (w / "model_int8.tflite").unlink(), "server answered 404", 1),
        (change_int8(lambda content: content[:1000]), "int8.tflite is damaged", 0),
        (change_int8(lambda content: content[:-1] + b"x"), "int8.tflite is damaged", 0),
        (lambda w: (w / "page.json").unlink(), "page.json cannot be fetched", 1),
        (lambda w: (w / "examples.bin").write_bytes(b"12"), "examples.bin is dam", 0),
    ],
)
def test_a_spoiled_folder_gives_a_message(page_copy, visit, spoil, message, errors):
    spoil(page_copy)
    # The browser itself logs the 404.
    seen = visit(page_copy, "broken", errors=errors)
    assert seen["visible"]
    assert message in seen["message"]


@in_browser
def test_other_datasets_take_dropped_images(tmp_path, train, visit):
    rng = np.random.default_rng(0)
    source = tmp_path / "colors"
    for k, name in enumerate(("red", "green", "blue")):
        (source / name).mkdir(parents=True)
        for i in range(40):
            image = rng.integers(0, 120, (16, 16, 3)).astype(np.uint8)
            image[..., k] += 120
            Image.fromarray(image).save(source / name / f"{i}.png")
    trained = train("linear", str(source), epochs=20, overrides={"batch_size": 32})
    export.export_run(trained, ["tflite", "web"], tflite_files="float32,int8")
    folder = trained.run.export / "web"
    paths = [str(source / name / "0.png") for name in ("red", "green", "blue")]
    text = tmp_path / "a.png"
    text.write_text("no image")
    seen = visit(folder, "drop", images=[*paths, str(text)])
    assert seen["drawing"] is False
    assert len(seen["tracks"]) == 3
    assert len(set(seen["tracks"])) == 1  # so that bars can be compared
    assert "is turned upright and stretched to 16x16 pixels" in seen["prepared"]
    images = np.stack([np.asarray(Image.open(path)) for path in paths])
    expected = in_python(folder, "int8", images)
    classes = examples_of(folder)[2]["classes"]
    shown = [answer["pixels"] for answer in seen["dropped"][:3]]
    np.testing.assert_array_equal(shown, images.reshape(3, -1))
    for answer, probabilities in zip(seen["dropped"][:3], expected, strict=True):
        assert answer["best"] == classes[probabilities.argmax()]
        shares = dict(answer["bars"])
        got = [shares[name] for name in classes]
        np.testing.assert_allclose(got, probabilities, atol=0.02)
    assert "is not an image that this browser can read" in seen["dropped"][3]["message"]


@in_browser
def test_photographs_are_turned_and_resized_as_in_training(page, visit, tmp_path):
    """Uses all EXIF orientations, a color profile, and images larger than a strip."""
    with Image.open(ROOT / "zoo" / "samples" / "pagoda.jpg") as image:
        photo = image.resize((300, 200))
    paths = []
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        paths.append(tmp_path / f"{orientation}.jpg")
        photo.save(paths[-1], quality=95, exif=exif)
    # A browser that applies this profile mistakes red for green.
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for old, new in ((b"rXYZ", b"...."), (b"gXYZ", b"rXYZ"), (b"....", b"gXYZ")):
        profile = profile.replace(old, new, 1)
    paths.append(tmp_path / "profile.png")
    photo.save(paths[-1], icc_profile=profile)
    seen = visit(page, "drop", images=list(map(str, paths)))
    for path, answer in zip(paths, seen["dropped"], strict=True):
        expected = decode.decode(tf.constant(path.read_bytes()), 28, 28, 1).numpy()
        got = np.reshape(answer["pixels"], (28, 28, 3))
        # Browsers and TensorFlow decode a JPEG with small differences.
        tolerance = 0 if path.suffix == ".png" else 4
        np.testing.assert_allclose(got, expected.repeat(3, axis=-1), atol=tolerance)


@in_browser
def test_dark_ink_on_light_paper_is_inverted(page, visit, tmp_path):
    image = examples_of(page)[0][0, ..., 0]
    paths = [str(tmp_path / name) for name in ("light.png", "dark.png")]
    for path, pixels in zip(paths, (image, 255 - image), strict=True):
        Image.fromarray(pixels).save(path)
    seen = visit(page, "drop", images=paths, invert=True)
    light, dark = seen["dropped"]
    assert seen["inverted"] == light["pixels"]
    assert dark["pixels"] != light["pixels"]
