"""Pretrained weights: loading the model that has them, and copying them."""

from __future__ import annotations

import os
import pathlib

import keras

from zoo import files, registry
from zoo.errors import UserError
from zoo.models.base import TapeModel
from zoo.records.weights import Weights


def load(
    architecture: registry.Architecture, weights: Weights, side: int | None = None
) -> TapeModel:
    """Returns the model of weights as it was trained.

    Args:
        architecture: the architecture that they must be of.
        weights: the weights.
        side: height and width of the images that it will see; None for those that the
            weights were trained on. MobileNetV2 has weights for several sizes.
    """
    if known := weights.published:
        recipe = registry.get_recipe(known.model, known.recipe)
        load_published = architecture.weights["imagenet"]
        return load_published(side or known.image_side, **recipe.model)
    assert weights.path, "weights are published or have a file"
    model = load_file(weights.path)
    if type(model) is not architecture.model_class:
        raise UserError(
            f"The weights are of another architecture. Received: {weights.name}, of "
            f"{model.name}; the model is {architecture.name}."
        )
    return model


def load_file(path: str | os.PathLike[str]) -> TapeModel:
    """Returns the model of a .keras file, compiled as it was saved."""
    registry.import_all()
    path = pathlib.Path(path)
    if not files.exists(path):
        raise UserError(f"{path} is missing.")
    try:
        return keras.models.load_model(path, safe_mode=True)
    except Exception as error:
        # Keras raises whatever its zip, HDF5 and JSON readers raise.
        said = " ".join(str(error).split())[:300]
        raise UserError(
            f"{path} cannot be loaded: {type(error).__name__}: {said}"
        ) from error


def copy(given: TapeModel, model: TapeModel, *, head: bool) -> list[keras.Variable]:
    """Copies the weights of one model to another; returns those of ``model``.

    For another number of channels, the kernel of the first convolution is summed over
    the channels and spread evenly over the new ones, as in timm.

    Args:
        given: the model with the weights.
        model: a model of the same architecture, built.
        head: whether to copy the weights of the head too.
    """
    shapes = [given.example_shape, model.example_shape]
    old, new = (shape[-1] for shape in shapes)
    copied = []
    values = {_path(given, weight): weight.numpy() for weight in given.weights}
    for weight in model.weights:
        path = _path(model, weight)
        if not head and path.startswith(f"{model.head_name}/"):
            continue
        value = values[path]
        if value.ndim == 4 and value.shape[2] == old != new == weight.shape[2]:
            value = (value.sum(axis=2, keepdims=True) / new).repeat(new, axis=2)
        if value.shape != tuple(weight.shape):
            raise UserError(
                f"{model.name} has other weights for images of another size: {path} is "
                f"{value.shape} for {shapes[0]} and {tuple(weight.shape)} for "
                f"{shapes[1]}. Use images like those that the weights were trained on, "
                "or train without --weights."
            )
        weight.assign(value)
        copied.append(weight)
    return copied


def _path(model: TapeModel, weight: keras.Variable) -> str:
    return weight.path.removeprefix(f"{model.name}/")
