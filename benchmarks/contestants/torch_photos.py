"""PyTorch trains the default resnet with the settings of the zoo's recipe.

    python -m benchmarks.contestants.torch_photos IMAGES.npz EPOCHS SEED

Images lie in memory, and whole batches are augmented at once, which costs less than
torchvision's transforms in worker processes.
"""

from __future__ import annotations

import os
import sys

import numpy as np
import torch
from torch.nn import functional

from benchmarks.contestants.torch_fit import network
from zoo.recipe import PHOTOGRAPHS as RECIPE

SIDE = 32


def augmented(padded: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    """Returns uint8 images (batch, 32, 32, 3): cropped, mirrored and partly erased.

    Args:
        padded: uint8 images (n, 40, 40, 3) with a mirrored border.
        indices: the images of the batch.
    """
    batch, space = len(indices), padded.shape[1] - SIDE
    place = torch.arange(SIDE)
    top, left = torch.randint(space + 1, (2, batch, 1))
    mirrored = torch.rand(batch, 1) < RECIPE.augment["flip"]
    rows, columns = top + place, left + torch.where(mirrored, SIDE - 1 - place, place)
    images = padded[indices[:, None, None], rows[:, :, None], columns[:, None, :]]
    length = RECIPE.augment["erasing"] * torch.rand(2, batch, 1)
    first = torch.rand(2, batch, 1) * (1 - length)
    middle = (place + 0.5) / SIDE
    inside = (first <= middle) & (middle < first + length)  # (2, batch, 32)
    erased = inside[0][:, :, None] & inside[1][:, None, :]
    return images.masked_fill(erased[..., None], 0)


def pixels(images: torch.Tensor) -> torch.Tensor:
    """Returns (batch, 3, 32, 32), -1 to 1, channels last."""
    scaled = images.float() / 127.5 - 1
    return scaled.permute(0, 3, 1, 2)  # which PyTorch calls channels last


def optimizer_of(model: torch.nn.Module) -> torch.optim.SGD:
    """Returns SGD that decays kernels only.

    PyTorch adds the decay to the gradient, so momentum multiplies it.
    """
    decay = RECIPE.weight_decay * (1 - RECIPE.momentum)
    kernels = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": kernels, "weight_decay": decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.SGD(
        groups, lr=RECIPE.learning_rate, momentum=RECIPE.momentum, nesterov=True
    )


def main() -> None:
    path, epochs, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    torch.manual_seed(seed)
    torch.set_num_threads(os.cpu_count() or 1)
    data = np.load(path)
    border = RECIPE.augment["pad_crop"]
    border = ((0, 0), (int(border),) * 2, (int(border),) * 2, (0, 0))
    padded = torch.from_numpy(np.pad(data["train_x"], border, mode="reflect"))
    labels = torch.from_numpy(data["train_y"]).long()
    model = network("resnet").to(memory_format=torch.channels_last)
    optimizer = optimizer_of(model)
    batch = RECIPE.batch_size
    steps = epochs * (len(labels) // batch)
    warmup = RECIPE.warmup * steps

    def rate(step: int) -> float:
        if step < warmup:
            return step / warmup
        return (1 + np.cos(np.pi * (step - warmup) / (steps - warmup))) / 2

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    model.train()
    for _ in range(epochs):
        order = torch.randperm(len(labels))
        for indices in order[: len(order) // batch * batch].split(batch):
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                output = model(pixels(augmented(padded, indices)))
                loss = functional.cross_entropy(
                    output.float(),
                    labels[indices],
                    label_smoothing=RECIPE.label_smoothing,
                )
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    test = torch.from_numpy(data["test_x"])
    with torch.no_grad():
        chosen = [model(pixels(part)).argmax(1) for part in test.split(500)]
    right = torch.cat(chosen) == torch.from_numpy(data["test_y"])
    print(f"epoch {epochs}: {right.float().mean().item():.4f}", flush=True)


if __name__ == "__main__":
    main()
