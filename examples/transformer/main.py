"""Trains a character-level GPT on Shakespeare's plays and lets it write.

Every line is PyTorch: `python main.py` runs it on PyTorch, `ttk run main.py` on Tiny-Torch.
"""

import argparse
import os

import torch
from tqdm import tqdm

from model import GPT

TEXT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "tinyshakespeare.txt")


def batch(data, size, context):
    """`size` random pieces of the text, and the same shifted by one: both `[size, context]`."""
    starts = torch.randint(len(data) - context, (size,)).tolist()
    x = torch.stack([data[i : i + context] for i in starts])
    y = torch.stack([data[i + 1 : i + 1 + context] for i in starts])
    return x, y


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--generate", type=int, default=200, help="characters to write in the end")
    parser.add_argument("--losses", help="write the loss of every step to this file")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    with open(TEXT, encoding="utf-8") as file:
        text = file.read()
    characters = sorted(set(text))
    number = {c: i for i, c in enumerate(characters)}
    data = torch.tensor([number[c] for c in text])

    model = GPT(len(characters), args.context, args.layers, args.heads, args.width, args.dropout)
    model.to(args.device)
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f} million parameters")
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr)
    losses = []
    progress = tqdm(range(args.steps), unit="step")
    for _ in progress:
        x, y = batch(data, args.batch_size, args.context)
        _, loss = model(x.to(args.device), y.to(args.device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        progress.set_postfix(loss=f"{losses[-1]:.4f}")
    if args.losses:
        with open(args.losses, "w", encoding="utf-8") as file:
            file.writelines(f"{loss:.9g}\n" for loss in losses)

    if args.generate:
        model.eval()
        start = torch.tensor([[number["\n"]]], device=args.device)
        written = model.generate(start, args.generate)[0].tolist()
        print("".join(characters[i] for i in written))


if __name__ == "__main__":
    main()
