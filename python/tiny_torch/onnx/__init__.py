"""ONNX export: not in this build."""

__all__ = ["export", "is_in_onnx_export"]


def is_in_onnx_export():
    return False


def export(*args, **kwargs):
    raise NotImplementedError("torch.onnx.export: tiny_torch writes .ttk files (torch.jit.trace(model, x).save(path)), not ONNX")


dynamo_export = export


def register_custom_op_symbolic(symbolic_name, symbolic_fn, opset_version):
    """Accepted, for libraries that register their operators when they are imported."""


def unregister_custom_op_symbolic(symbolic_name, opset_version):
    """Accepted."""
