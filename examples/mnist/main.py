"""Trains a convolutional network on handwritten digits, and writes it to a file.

Every line is PyTorch: `python main.py` runs it on PyTorch, `ttk run main.py` on Tiny-Torch, and with one seed both
print the same losses.
"""

import argparse
import os

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from tqdm import tqdm

from model import Net, digits


def train(model, loader, device, optimizer, schedule, epoch, losses):
    model.train()
    progress = tqdm(loader, desc=f"epoch {epoch}", unit="batch")
    for images, labels in progress:
        optimizer.zero_grad()
        loss = F.nll_loss(model(images.to(device)), labels.to(device))
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        progress.set_postfix(loss=f"{losses[-1]:.4f}")


def test(model, images, labels):
    model.eval()
    with torch.no_grad():
        return (model(images).argmax(dim=1) == labels).float().mean().item()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--warm-up", type=int, default=250, help="steps in which the learning rate grows, as their cube")
    parser.add_argument("--dropout", type=float, default=0.25)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, help="stop after so many steps")
    parser.add_argument("--test", type=int, help="test on so many images")
    parser.add_argument("--losses", help="write the loss of every step to this file")
    parser.add_argument("--out", help="write the traced network and test images to this folder")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    data = TensorDataset(*digits("train"))
    if args.steps:
        data = torch.utils.data.Subset(data, range(min(len(data), args.steps * args.batch_size)))
    loader = DataLoader(data, batch_size=args.batch_size, shuffle=True)
    images, labels = (t[: args.test].to(args.device) for t in digits("t10k"))
    model = Net(args.dropout).to(args.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    # Large steps from the first on would make a rounding error of one step a visible difference fifty steps later.
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / args.warm_up) ** 3)

    losses = []
    for epoch in range(1, args.epochs + 1):
        train(model, loader, args.device, optimizer, schedule, epoch, losses)
        print(f"epoch {epoch}: test accuracy {100 * test(model, images, labels):.2f}%")
    if args.losses:
        np.savetxt(args.losses, losses, fmt="%.9g")
    if args.out:
        os.makedirs(args.out, exist_ok=True)
        traced = torch.jit.trace(model.eval(), images)
        traced.save(os.path.join(args.out, "mnist.ttk"))
        with torch.no_grad():
            scores = traced(images)
        np.save(os.path.join(args.out, "test_images.npy"), images.cpu().numpy())
        np.save(os.path.join(args.out, "expected.npy"), scores.cpu().numpy())
        print(f"wrote {os.path.join(args.out, 'mnist.ttk')}")


if __name__ == "__main__":
    main()
