"""PyTorch's usual loop: the same layers, optimizer and batch, data in memory."""

from __future__ import annotations

import os
import time

import torch
from torch import nn

from benchmarks import data
from benchmarks.contestants.keras_fit import BLOCKS, FILTERS, WIDTHS


def _block(before: int, width: int, size: int, stride: int) -> list[nn.Module]:
    conv = nn.Conv2d(before, width, size, stride, size // 2, bias=False)
    return [conv, nn.BatchNorm2d(width)]


class Residual(nn.Module):
    """A block of resnet."""

    def __init__(self, before: int, width: int, stride: int):
        super().__init__()
        first, second = _block(before, width, 3, stride), _block(width, width, 3, 1)
        self.branch = nn.Sequential(*first, nn.ReLU(), *second)
        shortcut = [] if stride == 1 else _block(before, width, 1, stride)
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.relu(self.branch(x) + self.shortcut(x))


def network(model_name: str) -> nn.Module:
    """Returns the layers of a model of the zoo, on images (n, channels, side, side)."""
    if model_name == "mlp":
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(784, 256),
            nn.ReLU(),
            nn.Linear(256, 128),
            nn.ReLU(),
            nn.Linear(128, 10),
        )
    if model_name == "convnet":
        return nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(14 * 14 * 32, 1024),
            nn.ReLU(),
            nn.Linear(1024, 10),
        )
    parts: list[nn.Module] = []
    before = 3
    if model_name == "allconv":
        for i, width in enumerate(FILTERS):
            stride = 2 if i in (1, 3) else 1
            parts += [*_block(before, width, 3 if i else 5, stride), nn.ReLU()]
            before = width
        head = [nn.Conv2d(before, 10, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        return nn.Sequential(*parts, *head)
    parts += [*_block(3, WIDTHS[0], 3, 1), nn.ReLU()]
    before = WIDTHS[0]
    for stage, width in enumerate(WIDTHS):
        for i in range(BLOCKS):
            parts.append(Residual(before, width, 2 if stage and not i else 1))
            before = width
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 10)]
    return nn.Sequential(*parts, *head)


def prepare(model_name: str, steps: str, batch_size: str, layout: str = "nchw"):
    """Returns a function that trains ``steps`` steps and returns the seconds."""
    torch.set_num_threads(os.cpu_count() or 1)  # same as the others
    memory = torch.contiguous_format
    if layout == "channels_last":
        memory = torch.channels_last
    split, on_mnist = data.examples(model_name), model_name in data.ON_MNIST
    pixels = torch.from_numpy(data.scaled(split.x) if on_mnist else split.x)
    images = pixels.permute(0, 3, 1, 2).contiguous(memory_format=memory)
    labels = torch.from_numpy(split.y).long()
    model = network(model_name).to(memory_format=memory)
    if on_mnist:
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2)
    else:
        optimizer = torch.optim.SGD(
            model.parameters(), lr=0.01, momentum=0.9, nesterov=True
        )
    loss_of = nn.CrossEntropyLoss()

    def work() -> float:
        began = time.perf_counter()
        model.train()
        correct = total = 0
        order = torch.randperm(len(labels))
        for indices in order.split(int(batch_size))[: int(steps)]:
            x, y = images[indices], labels[indices]
            if not on_mnist:
                x = (x.float() / 127.5 - 1).contiguous(memory_format=memory)
            optimizer.zero_grad()
            output = model(x)
            loss = loss_of(output, y)
            loss.backward()
            optimizer.step()
            # Every epoch reports the mean loss and the accuracy.
            total += loss.item()
            correct += (output.argmax(1) == y).sum().item()
        return time.perf_counter() - began

    return work
