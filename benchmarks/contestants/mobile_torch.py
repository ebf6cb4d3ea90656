"""PyTorch's usual loop with torchvision's MobileNetV2, on random photographs.

It imports only PyTorch and torchvision, which may have an environment of their own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import torch
from torchvision.models import mobilenet_v2


def prepare(steps: str, batch_size: str, side: str, layout: str) -> Callable[[], float]:
    """Returns a function that trains ``steps`` steps and returns the seconds.

    Args:
        steps: steps per call of the function.
        batch_size: examples in a batch.
        side: height and width of the images.
        layout: ``nchw`` or ``channels_last``.
    """
    torch.set_num_threads(os.cpu_count() or 1)  # same as the others
    torch.manual_seed(0)
    memory = torch.contiguous_format
    if layout == "channels_last":
        memory = torch.channels_last
    shape = (int(steps) * int(batch_size), 3, int(side), int(side))
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8)
    images = pixels.contiguous(memory_format=memory)
    labels = torch.randint(0, 10, shape[:1])
    model = mobilenet_v2(num_classes=10, dropout=0.0).to(memory_format=memory)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.01, momentum=0.9, nesterov=True
    )
    loss_of = torch.nn.CrossEntropyLoss()

    def work() -> float:
        began = time.perf_counter()
        model.train()
        correct = total = 0
        for indices in torch.randperm(len(labels)).split(int(batch_size)):
            x, y = images[indices], labels[indices]
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
