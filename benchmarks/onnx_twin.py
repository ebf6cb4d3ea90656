"""Converts a trained model of the zoo to an ONNX graph for ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import onnx
from onnx import helper, numpy_helper

from zoo.models.resnet import BasicBlock, Stem

_OPSET = 18
_PADDING = {"same": "SAME_UPPER", "valid": "VALID"}


class _Graph:
    """A graph under construction.

    Images are (n, channels, height, width), as in ONNX.

    Args:
        channels: channels of the input images.

    Attributes:
        x: name of the last node's output.
        channels: channels of that output.
        flattened: whether it has just been flattened to a vector.
    """

    def __init__(self, channels: int):
        self.channels = channels
        self.flattened = False
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.x = "image"

    def add(
        self,
        kind: str,
        *constants: np.ndarray,
        other: str | None = None,
        **attributes: Any,
    ) -> None:
        """Adds a node on the last output, and on the output ``other`` if given."""
        names = [f"{kind}_{len(self.nodes)}_{i}" for i in range(len(constants))]
        self.constants += [
            numpy_helper.from_array(np.ascontiguousarray(value), name)
            for name, value in zip(names, constants, strict=True)
        ]
        output = f"{kind}_{len(self.nodes)}"
        inputs = [self.x, *([other] if other else []), *names]
        node = helper.make_node(kind, inputs, [output], **attributes)
        self.nodes.append(node)
        self.x = output


def _activation(graph: _Graph, layer: keras.layers.Layer) -> None:
    if layer.activation is keras.activations.relu:
        graph.add("Relu")
    elif layer.activation is not keras.activations.linear:
        raise TypeError(f"{layer.activation} has no counterpart here.")


def _conv(graph: _Graph, layer: keras.layers.Conv2D) -> None:
    kernel, *bias = layer.get_weights()
    graph.add(
        "Conv",
        kernel.transpose(3, 2, 0, 1),
        *bias,
        auto_pad=_PADDING[layer.padding],
        strides=layer.strides,
    )
    graph.channels = kernel.shape[-1]
    _activation(graph, layer)


def _dense(graph: _Graph, layer: keras.layers.Dense) -> None:
    kernel, bias = layer.get_weights()
    if graph.flattened:  # channels are the last axis in Keras and the first in ONNX
        pixels = kernel.reshape(-1, graph.channels, layer.units)
        kernel = pixels.transpose(1, 0, 2).reshape(kernel.shape)
        graph.flattened = False
    graph.add("Gemm", kernel, bias)
    _activation(graph, layer)


def _block(graph: _Graph, block: BasicBlock) -> None:
    start, channels = graph.x, graph.channels
    _add_layers(graph, [block.first, block.second])
    branch, graph.x, graph.channels = graph.x, start, channels
    if block.shortcut is not None:
        _add_layers(graph, [block.shortcut])
    graph.add("Add", other=branch)
    graph.add("Relu")


def _add_layers(graph: _Graph, layers: Sequence[keras.layers.Layer]) -> None:
    for layer in layers:
        match layer:
            case keras.Sequential():
                _add_layers(graph, layer.layers)
            case Stem():
                _add_layers(graph, layer.convolutions)
            case BasicBlock():
                _block(graph, layer)
            case keras.layers.Rescaling():
                graph.add("Mul", np.float32(layer.scale))
                graph.add("Add", np.float32(layer.offset))
            case keras.layers.Conv2D():
                _conv(graph, layer)
            case keras.layers.BatchNormalization():
                graph.add(
                    "BatchNormalization", *layer.get_weights(), epsilon=layer.epsilon
                )
            case keras.layers.ReLU():
                graph.add("Relu")
            case keras.layers.MaxPooling2D():
                graph.add(
                    "MaxPool",
                    kernel_shape=layer.pool_size,
                    strides=layer.strides,
                    auto_pad=_PADDING[layer.padding],
                )
            case keras.layers.Flatten():
                graph.add("Flatten")
                graph.flattened = True
            case keras.layers.Dense():
                _dense(graph, layer)
            case keras.layers.GlobalAveragePooling2D():
                graph.add("GlobalAveragePool")
                graph.add("Flatten")
            case keras.layers.Dropout():
                pass
            case _:
                raise TypeError(f"{type(layer).__name__} has no counterpart in ONNX.")


def convert(model: keras.Model) -> onnx.ModelProto:
    """Returns the ONNX model from raw pixels (n, channels, height, width) to classes.

    Args:
        model: a model whose layers are applied in the order of their creation.

    Raises:
        TypeError: a layer has no counterpart here.
    """
    height, width, channels = model.get_build_config()["input_shape"][1:]
    graph = _Graph(channels)
    _add_layers(graph, model.layers)
    graph.add("Softmax")
    shape = ["n", channels, height, width]
    content = helper.make_graph(
        graph.nodes,
        model.name,
        [helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(graph.x, onnx.TensorProto.FLOAT, None)],
        graph.constants,
    )
    opset = [helper.make_opsetid("", _OPSET)]
    return helper.make_model(content, opset_imports=opset, ir_version=10)
