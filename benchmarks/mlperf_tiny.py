"""The network of MLPerf Tiny's image classification benchmark, in stock Keras.

Reference: Banbury et al. 2021, "MLPerf Tiny Benchmark" (arXiv:2106.07597), section 4.
In contrast to the zoo's resnet, its convolutions have biases, its shortcuts have no
batch normalization, and it does not scale the pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def resnet8() -> keras.Model:
    """Returns the network: images (batch, 32, 32, 3) to logits (batch, 10)."""
    import keras
    from keras import layers

    def convolution(x: keras.KerasTensor, width: int, stride: int) -> keras.KerasTensor:
        x = layers.Conv2D(width, 3, stride, padding="same")(x)
        return layers.BatchNormalization()(x)

    image = keras.Input((32, 32, 3))
    x = layers.ReLU()(convolution(image, 16, 1))
    for width, stride in ((16, 1), (32, 2), (64, 2)):
        branch = layers.ReLU()(convolution(x, width, stride))
        branch = convolution(branch, width, 1)
        if stride > 1:
            x = layers.Conv2D(width, 1, stride)(x)
        x = layers.ReLU()(x + branch)
    x = layers.Flatten()(layers.AveragePooling2D(8)(x))
    model = keras.Model(image, layers.Dense(10)(x))
    model.num_classes = 10  # which tells the export that it is a classifier
    return model
