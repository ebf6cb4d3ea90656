"""PyTorch's usual loop: the same layers, optimizer and batch, data in memory."""

from __future__ import annotations

import os
import time

import torch
from torch import nn

from benchmarks import data


def network(model_name: str) -> nn.Module:
    """Returns the layers of a model of the zoo, on images (n, 1, 28, 28)."""
    if model_name == "mlp":
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(784, 256),
            nn.ReLU(),
            nn.Linear(256, 128),
            nn.ReLU(),
            nn.Linear(128, 10),
        )
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(14 * 14 * 32, 1024),
        nn.ReLU(),
        nn.Linear(1024, 10),
    )


def prepare(model_name: str, steps: str, batch_size: str):
    """Returns a function that trains ``steps`` steps and returns the seconds."""
    torch.set_num_threads(os.cpu_count())  # same as the others
    train = data.mnist().train
    images = torch.from_numpy(data.scaled(train.x)).permute(0, 3, 1, 2).contiguous()
    labels = torch.from_numpy(train.y).long()
    model = network(model_name)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2)
    loss_of = nn.CrossEntropyLoss()

    def work() -> float:
        began = time.perf_counter()
        model.train()
        order = torch.randperm(len(labels))
        correct = total = 0
        for indices in order.split(int(batch_size))[: int(steps)]:
            x, y = images[indices], labels[indices]
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
