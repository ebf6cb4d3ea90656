"""The networks for photographs, trained by the zoo, by stock Keras and by PyTorch.

All have the same layers, SGD with Nesterov momentum, and random images of 32x32x3 in
memory.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

IMAGES = 5120
CLASSES = 10
RATE, MOMENTUM = 0.01, 0.9
FILTERS = (24, 32, 48, 64, 96)  # of allconv
WIDTHS, BLOCKS = (16, 32, 64), (3, 3, 3)  # of resnet


def examples() -> tuple[np.ndarray, np.ndarray]:
    """Returns uint8 images (n, 32, 32, 3) and int32 labels (n,)."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (IMAGES, 32, 32, 3)).astype("uint8")
    return x, rng.integers(0, CLASSES, IMAGES).astype("int32")


def prepare(kind: str, model_name: str, steps: str, batch_size: str) -> Callable:
    """Returns a function that trains ``steps`` steps and returns how long that took.

    Args:
        kind: ``zoo``, ``zoo_augmented``, ``keras``, ``torch_nchw`` or
            ``torch_channels_last``.
        model_name: ``allconv`` or ``resnet``.
        steps: number of steps per call.
        batch_size: number of examples in a batch.
    """
    work: Callable[[], Any]
    sizes = (model_name, int(steps), int(batch_size))
    if kind.startswith("torch"):
        work = _torch(*sizes, channels_last=kind == "torch_channels_last")
    elif kind == "keras":
        work = _keras(*sizes)
    else:
        _, work = zoo_training(*sizes, augmented=kind == "zoo_augmented")

    def timed() -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    return timed


def zoo_training(
    model_name: str, steps: int, batch_size: int, *, augmented: bool = False
) -> tuple[Any, Callable[[], Any]]:
    """Returns a model of the zoo, and a function that trains it for some steps.

    Args:
        model_name: ``allconv`` or ``resnet``.
        steps: number of steps per call.
        batch_size: number of examples in a batch.
        augmented: whether to augment images like the recipe for photographs.
    """
    from zoo import startup

    startup.start()
    import zoo
    from zoo.data import pipeline
    from zoo.data.dataset import Split
    from zoo.models.guard import NonFiniteGuard
    from zoo.recipe import PHOTOGRAPHS, Recipe

    recipe = Recipe(
        augment=PHOTOGRAPHS.augment if augmented else {},
        optimizer="sgd",
        learning_rate=RATE,
        momentum=MOMENTUM,
        nesterov=True,
        batch_size=batch_size,
        epochs=1,
        steps_per_epoch=steps,
    )
    model = zoo.create_model(
        model_name,
        input_shape=(32, 32, 3),
        num_classes=CLASSES,
        recipe=recipe,
        steps_per_execution=5,
    )
    model.guard = NonFiniteGuard()
    plan = pipeline.make_plan(recipe, IMAGES)
    batches = pipeline.TrainingBatches(Split(*examples()), plan, recipe, seed=0)
    return model, lambda: model.fit(batches.dataset, shuffle=False, verbose=0)


def _keras(model_name: str, steps: int, batch_size: int) -> Callable[[], Any]:
    from zoo import startup

    startup.start()
    import keras
    import tensorflow as tf
    from keras import layers

    from zoo.data.decode import untuned

    def block(x: Any, width: int, size: int, stride: int, *, relu: bool = True) -> Any:
        conv = layers.Conv2D(width, size, stride, padding="same", use_bias=False)
        x = layers.BatchNormalization()(conv(x))
        return layers.ReLU()(x) if relu else x

    image = keras.Input((32, 32, 3))
    x = layers.Rescaling(1 / 127.5, -1)(image)
    if model_name == "allconv":
        for i, (width, stride) in enumerate(zip(FILTERS, (1, 2, 1, 2, 1), strict=True)):
            x = block(x, width, 3 if i else 5, stride)
        x = layers.GlobalAveragePooling2D()(layers.Conv2D(CLASSES, 1)(x))
    else:
        x = block(x, WIDTHS[0], 3, 1)
        for stage, (width, count) in enumerate(zip(WIDTHS, BLOCKS, strict=True)):
            for i in range(count):
                stride = 2 if stage and not i else 1
                branch = block(block(x, width, 3, stride), width, 3, 1, relu=False)
                if stride == 2:
                    x = block(x, width, 1, stride, relu=False)
                x = layers.ReLU()(branch + x)
        x = layers.Dense(CLASSES)(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(image, x)
    model.compile(
        keras.optimizers.SGD(RATE, momentum=MOMENTUM, nesterov=True),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    batches = untuned(
        tf.data.Dataset.from_tensor_slices(examples())
        .shuffle(IMAGES)
        .repeat()
        .batch(batch_size)
        .prefetch(2)
        .take(steps)
    )
    return lambda: model.fit(batches, shuffle=False, verbose=0)


def _torch(
    model_name: str, steps: int, batch_size: int, *, channels_last: bool
) -> Callable[[], Any]:
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = torch_network(model_name).to(memory_format=layout)
    x, y = examples()
    images = torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(memory_format=layout)
    labels = torch.from_numpy(y).long()
    options = {"lr": RATE, "momentum": MOMENTUM, "nesterov": True}
    optimizer = torch.optim.SGD(model.parameters(), **options)
    loss_of = torch.nn.CrossEntropyLoss()

    def work() -> float:
        model.train()
        total = 0.0
        for indices in torch.randperm(len(labels)).split(batch_size)[:steps]:
            optimizer.zero_grad()
            batch = (images[indices].float() / 127.5 - 1).contiguous(
                memory_format=layout
            )
            output = model(batch)
            loss = loss_of(output, labels[indices])
            loss.backward()
            optimizer.step()
            # Every epoch reports the mean loss and the accuracy.
            total += loss.item() + (output.argmax(1) == labels[indices]).sum().item()
        return total

    return work


def torch_network(model_name: str) -> Any:
    """Returns ``allconv`` or ``resnet`` as a module of PyTorch, for 32x32x3."""
    from torch import nn

    def block(before: int, width: int, size: int, stride: int) -> list[nn.Module]:
        conv = nn.Conv2d(before, width, size, stride, size // 2, bias=False)
        return [conv, nn.BatchNorm2d(width)]

    class Residual(nn.Module):
        def __init__(self, before: int, width: int, stride: int):
            super().__init__()
            self.branch = nn.Sequential(
                *block(before, width, 3, stride), nn.ReLU(), *block(width, width, 3, 1)
            )
            same = stride == 1
            self.shortcut = nn.Sequential(
                *([] if same else block(before, width, 1, stride))
            )

        def forward(self, x: Any) -> Any:
            return nn.functional.relu(self.branch(x) + self.shortcut(x))

    parts: list[nn.Module] = []
    before = 3
    if model_name == "allconv":
        for i, (width, stride) in enumerate(zip(FILTERS, (1, 2, 1, 2, 1), strict=True)):
            parts += [*block(before, width, 3 if i else 5, stride), nn.ReLU()]
            before = width
        parts.append(nn.Conv2d(before, CLASSES, 1))
        return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    parts += [*block(3, WIDTHS[0], 3, 1), nn.ReLU()]
    before = WIDTHS[0]
    for stage, (width, count) in enumerate(zip(WIDTHS, BLOCKS, strict=True)):
        for i in range(count):
            parts.append(Residual(before, width, 2 if stage and not i else 1))
            before = width
    return nn.Sequential(
        *parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, CLASSES)
    )
