"""Compares what the `ttk` program computed with what Python computed, on every test image."""

import os
import sys

import numpy as np

from_python = np.load(os.path.join(sys.argv[1], "expected.npy"))
from_ttk = np.load(os.path.join(sys.argv[1], "scores.npy"))
difference = np.abs(from_python - from_ttk).max()
print(f"largest difference to Python over {len(from_python)} test images: {difference:.2e}")
sys.exit(0 if from_python.shape == from_ttk.shape and difference <= 1e-5 else 1)
