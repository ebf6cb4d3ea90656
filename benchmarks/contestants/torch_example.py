"""The MNIST example of pytorch/examples, stopped at 99.0%.

    python -m benchmarks.contestants.torch_example

It has two convolutions, dropout, Adadelta with a learning rate of 1.0 that is
multiplied by 0.7 each epoch, batches of 64, and at most 14 epochs. Its images are
decoded beforehand, so it does not wait for Pillow. It ends after the first epoch with
99.0% on the test split.
Source: https://github.com/pytorch/examples/tree/main/mnist
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from benchmarks import data

GOAL = 0.99


class Net(nn.Module):
    """The example's network."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, 1)
        self.conv2 = nn.Conv2d(32, 64, 3, 1)
        self.dropout1 = nn.Dropout(0.25)
        self.dropout2 = nn.Dropout(0.5)
        self.fc1 = nn.Linear(9216, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x):
        x = functional.relu(self.conv2(functional.relu(self.conv1(x))))
        x = torch.flatten(self.dropout1(functional.max_pool2d(x, 2)), 1)
        x = self.dropout2(functional.relu(self.fc1(x)))
        return functional.log_softmax(self.fc2(x), dim=1)


def tensors(split) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns images like those of the example's transforms, and labels."""
    images = torch.from_numpy(data.scaled(split.x)).permute(0, 3, 1, 2)
    return ((images - 0.1307) / 0.3081).contiguous(), torch.from_numpy(split.y).long()


def main() -> None:
    torch.manual_seed(1)
    contents = data.mnist()
    images, labels = tensors(contents.train)
    test_images, test_labels = tensors(contents.test)
    model = Net()
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
    for epoch in range(14):
        model.train()
        for indices in torch.randperm(len(labels)).split(64):
            optimizer.zero_grad()
            functional.nll_loss(model(images[indices]), labels[indices]).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            parts = [model(part).argmax(1) for part in test_images.split(1000)]
        accuracy = (torch.cat(parts) == test_labels).float().mean().item()
        print(f"epoch {epoch + 1}: {accuracy:.4f}", flush=True)
        if accuracy >= GOAL:
            return
        scheduler.step()


if __name__ == "__main__":
    main()
