"""ONNX export: not in this build."""

__all__ = ["export", "is_in_onnx_export"]


def is_in_onnx_export():
    return False


def export(*args, **kwargs):
    raise NotImplementedError("torch.onnx.export: tiny_torch writes .ttk files (torch.jit.trace(model, x).save(path)), not ONNX")


dynamo_export = export
