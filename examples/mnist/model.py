"""The network of the MNIST example, and its data."""

import gzip
import os

import numpy as np
import torch
from torch import nn
import torch.nn.functional as F

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "mnist10k")


class Net(nn.Module):
    """Two convolutions, a pool, two dense layers, dropout between (twice as much before the last)."""

    def __init__(self, dropout=0.25):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.dropout1 = nn.Dropout(dropout)
        self.dropout2 = nn.Dropout(2 * dropout)
        self.fc1 = nn.Linear(9216, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = F.max_pool2d(x, 2)
        x = self.dropout1(x)
        x = torch.flatten(x, 1)
        x = F.relu(self.fc1(x))
        x = self.dropout2(x)
        return F.log_softmax(self.fc2(x), dim=1)


def read_idx(path):
    """An array from a gzipped file in IDX format: two zero bytes, a type, the rank, big-endian sizes, the elements."""
    with gzip.open(path, "rb") as file:
        data = file.read()
    rank = data[3]
    shape = np.frombuffer(data, dtype=">i4", count=rank, offset=4)
    return np.frombuffer(data, dtype=np.uint8, offset=4 + 4 * rank).reshape(shape)


def digits(part):
    """Images `[n, 1, 28, 28]`, normalised, and labels `[n]`, of `part` "train" or "t10k"."""
    images = read_idx(os.path.join(DATA, f"{part}-images-idx3-ubyte.gz")).astype(np.float32) / 255
    labels = read_idx(os.path.join(DATA, f"{part}-labels-idx1-ubyte.gz")).astype(np.int64)
    return torch.tensor((images - 0.1307) / 0.3081).unsqueeze(1), torch.tensor(labels)
