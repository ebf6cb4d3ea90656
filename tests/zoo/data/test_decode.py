"""Compares the pixels of zoo.data.decode with Pillow's."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from zoo.data import decode
from zoo.data.source import RESIZES
from zoo.errors import UserError

_RNG = np.random.default_rng(0)
COLOR = Image.fromarray(_RNG.integers(0, 256, (9, 7, 3), dtype=np.uint8))
GRAY = Image.fromarray(_RNG.integers(0, 256, (9, 7), dtype=np.uint8))


def encode(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **_OPTIONS.get(kind, {}) | options)
    return buffer.getvalue()


def rotated(image: Image.Image, orientation: int, **options) -> bytes:
    """Returns a JPEG with an EXIF orientation, between other tags."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0112], exif[0x0131] = "maker", orientation, "software" * 9
    return encode(image, "JPEG", quality=95, exif=exif, **options)


def smooth(height: int, width: int) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    rgb = np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], axis=-1)
    return Image.fromarray(rgb.astype(np.uint8))


CASES = {
    "png": (COLOR, "PNG"),
    "png-alpha": (COLOR.convert("RGBA"), "PNG"),
    "png-palette": (COLOR.quantize(8), "PNG"),
    "png-gray": (GRAY, "PNG"),
    "png-gray-alpha": (GRAY.convert("LA"), "PNG"),
    "png-1-bit": (GRAY.convert("1"), "PNG"),
    "bmp": (COLOR, "BMP"),
    "bmp-gray": (GRAY, "BMP"),
    "bmp-alpha": (COLOR.convert("RGBA"), "BMP"),
    "gif": (COLOR.quantize(16), "GIF"),
    "gif-gray": (GRAY, "GIF"),
    "webp": (COLOR, "WEBP"),
    "webp-alpha": (COLOR.convert("RGBA"), "WEBP"),
    "webp-gray": (GRAY, "WEBP"),
}
_OPTIONS = {"WEBP": {"lossless": True}}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_decode_agrees_with_pillow(case, channels, mode):
    image, kind = CASES[case]
    expected = np.asarray(image.convert("RGB").convert(mode)).reshape(9, 7, channels)
    actual = decode.decode(tf.constant(encode(image, kind)), 9, 7, channels)
    assert actual.dtype == tf.uint8
    # Pillow computes luma with integers, which may differ by 1.
    tolerance = int(channels == 1)
    np.testing.assert_allclose(actual.numpy().astype(int), expected, atol=tolerance)


def test_decode_jpeg():
    image = smooth(40, 60)
    data = encode(image, "JPEG", quality=95)
    expected = np.asarray(Image.open(io.BytesIO(data))).astype(int)
    actual = decode.decode(tf.constant(data), 40, 60, 3).numpy().astype(int)
    assert np.abs(actual - expected).mean() < 2


def test_16_bit_png_keeps_the_upper_byte():
    pixels = _RNG.integers(0, 65536, (9, 7)).astype(np.uint16)
    data = encode(Image.fromarray(pixels), "PNG")
    actual = decode.decode(tf.constant(data), 9, 7, 1)[..., 0]
    np.testing.assert_array_equal(actual, pixels >> 8)


def animated(kind: str) -> bytes:
    frames = [Image.fromarray(np.full((9, 7), v, np.uint8)) for v in (10, 200)]
    return encode(frames[0], kind, save_all=True, append_images=frames[1:])


def test_animated_gif_gives_the_first_frame():
    data = animated("GIF")
    assert decode.decode(tf.constant(data), 9, 7, 1).numpy().max() == 10


@pytest.mark.parametrize("size", [(20, 30), (90, 120)])
def test_resize_agrees_with_pillow(size):
    image = smooth(48, 64)
    height, width = size
    expected = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    actual = decode.decode(tf.constant(encode(image, "PNG")), height, width, 3)

    assert actual.shape == (height, width, 3)
    assert np.abs(actual.numpy().astype(int) - expected).max() <= 1


#: Sizes (height, width) with the box (left, top, right, bottom) of the image that crop
#: keeps, and the box of the result that pad fills.
FITTED = [
    ((48, 64), (20, 20), (8, 0, 56, 48), (0, 2, 20, 17)),
    ((64, 48), (20, 20), (0, 8, 48, 56), (2, 0, 17, 20)),
    ((31, 47), (16, 16), (8, 0, 39, 31), (0, 2, 16, 13)),
    ((47, 31), (20, 30), (0, 13, 31, 34), (8, 0, 21, 20)),
    ((30, 40), (90, 120), (0, 0, 40, 30), (0, 0, 120, 90)),
    ((5, 6), (3, 3), (0, 0, 5, 5), (0, 0, 3, 3)),  # 2.5 rows round up
    ((2, 400), (16, 16), (199, 0, 201, 2), (0, 7, 16, 8)),
    ((28, 28), (28, 28), (0, 0, 28, 28), (0, 0, 28, 28)),
]


@pytest.mark.parametrize(("size", "target", "kept", "filled"), FITTED)
def test_crop_and_pad_agree_with_pillow(size, target, kept, filled):
    image, bilinear = smooth(*size), Image.Resampling.BILINEAR
    height, width = target

    def resized(how):
        result = decode.decode(tf.constant(encode(image, "PNG")), *target, 3, how)
        return result.numpy().astype(int)

    expected = np.asarray(image.crop(kept).resize((width, height), bilinear))
    assert np.abs(resized("crop") - expected).max() <= 1
    left, top, right, bottom = filled
    expected = np.zeros((height, width, 3), int)
    small = image.resize((right - left, bottom - top), bilinear)
    expected[top:bottom, left:right] = np.asarray(small)
    padded = resized("pad")
    assert np.abs(padded - expected).max() <= 1
    outside = np.ones((height, width), bool)
    outside[top:bottom, left:right] = False
    assert not padded[outside].any()


@pytest.mark.parametrize(("size", "target"), [case[:2] for case in FITTED[:5]])
def test_crop_and_pad_are_those_of_image_ops(size, target):
    image, bilinear = smooth(*size), Image.Resampling.BILINEAR
    pixels = np.asarray(image)
    for how, fitted in (("crop", ImageOps.fit), ("pad", ImageOps.pad)):
        expected = np.asarray(fitted(image, target[::-1], bilinear)).astype(int)
        apart = np.abs(decode.resize(pixels, *target, how).numpy() - expected)
        # Pillow cuts off fractions of a pixel, and rounds half a margin up or down.
        assert np.median(apart) <= 3


def swapped(jpeg: bytes) -> bytes:
    """Writes the EXIF orientation of a JPEG in the other byte order."""
    at = jpeg.index(b"Exif\0\0") + 6
    assert jpeg[at : at + 2] == b"MM"
    tag = jpeg.index(b"\x01\x12\x00\x03", at)
    number = jpeg[tag + 9 : tag + 10]
    entry = b"\x12\x01\x03\x00\x01\x00\x00\x00" + number
    return jpeg[:at] + b"II*\0" + jpeg[at + 4 : tag] + entry + jpeg[tag + 9 :]


@pytest.mark.parametrize("orientation", range(10))
def test_exif_orientation_is_honored_as_by_pillow(orientation):
    data = rotated(smooth(20, 32), orientation)
    with Image.open(io.BytesIO(data)) as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored)).astype(int)
    for each in (data, swapped(data)):
        upright = decode.decode_upright(tf.constant(each)).numpy()
        assert upright.shape == expected.shape
        assert np.abs(upright - expected).mean() < 2


def test_what_only_looks_like_an_orientation_is_none():
    image, tag = smooth(20, 32), b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06"
    commented = encode(image, "JPEG", comment=tag)
    cut = rotated(image, 6).replace(b"Exif\0\0", b"Exif\1\1")
    png = encode(image, "PNG")
    for data in (commented, cut, png):
        assert decode.decode_upright(tf.constant(data)).shape == (20, 32, 3)


def test_resize_rounds():
    image = tf.constant([[[0], [255]]], tf.uint8)
    assert decode.resize(image, 1, 1).numpy().item() == 128  # Not 127: 127.5 rounds.


@pytest.mark.parametrize("how", RESIZES)
def test_same_in_a_graph_in_tf_data_and_in_map_fn(tmp_path, how):
    data = [
        encode(smooth(30, 20), "PNG"),
        encode(GRAY, "PNG"),
        encode(COLOR, "BMP"),
        encode(smooth(30, 20), "WEBP"),
        rotated(smooth(20, 30), 6),
    ]
    eager = np.stack([decode.decode(tf.constant(d), 12, 10, 3, how) for d in data])

    mapped = tf.data.Dataset.from_tensor_slices(data).map(
        lambda d: decode.decode(d, 12, 10, 3, how)
    )
    assert mapped.element_spec.shape == (12, 10, 3)
    np.testing.assert_array_equal(np.stack(list(mapped.as_numpy_iterator())), eager)

    module = tf.Module()
    module.decode = tf.function(
        lambda batch: tf.map_fn(
            lambda d: decode.decode(d, 12, 10, 3, how),
            batch,
            fn_output_signature=tf.uint8,
        ),
        input_signature=[tf.TensorSpec((None,), tf.string)],
    )
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    np.testing.assert_array_equal(loaded.decode(tf.constant(data)), eager)


UNKNOWN = "is not a PNG, JPEG, BMP, GIF or WebP image, or is damaged"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"hello", UNKNOWN),
        (encode(COLOR, "PNG")[:60], UNKNOWN),
        (encode(COLOR, "JPEG")[:-30], UNKNOWN),
        (encode(GRAY, "GIF")[:20], UNKNOWN),
        (encode(COLOR, "BMP")[:60], UNKNOWN),
        (encode(COLOR, "WEBP")[:60], UNKNOWN),
        # TensorFlow aborts on it.
        (animated("WEBP"), "is an animated WebP: save one of its frames"),
        # TensorFlow takes its indices for gray values.
        (encode(COLOR.quantize(8), "BMP"), "is a BMP with a palette: save it as PNG"),
    ],
)
def test_what_is_no_image_is_refused(content, reason, tmp_path):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode.decode(tf.constant(content), 9, 7, 3)
    (tmp_path / "image").write_bytes(content)
    with pytest.raises(UserError, match=f"^{reason}$"):
        decode.read_image(tmp_path / "image")


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UserError, match="^cannot be read: Is a directory$"):
        decode.read_image(tmp_path)
