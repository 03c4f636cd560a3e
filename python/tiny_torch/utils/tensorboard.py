"""`SummaryWriter`: scalars, text and histograms as TensorBoard's event files, which TensorBoard itself reads."""
from ._events import FileWriter, SummaryWriter

__all__ = ["FileWriter", "SummaryWriter"]
