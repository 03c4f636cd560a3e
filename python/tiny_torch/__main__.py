"""`python -m tiny_torch` is the command `ttk`."""
import sys

from ._launcher.cli import main

sys.exit(main())
