"""Nested tensors: not in this build."""


def nested_tensor(*args, **kwargs):
    raise NotImplementedError("torch.nested: tiny_torch has no nested tensors; pad sequences (torch.nn.utils.rnn.pad_sequence)")


as_nested_tensor = nested_tensor_from_jagged = to_padded_tensor = nested_tensor
