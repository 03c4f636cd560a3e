"""Workloads in ONNX Runtime: PyTorch's exporter writes the model, once; `VERSIONS[name](threads)` gives `(step, result)`."""

import functools
import os

import onnxruntime
import torch

from harness import KEPT
from workloads import inference
from workloads.kernels import sample


def session(name, model, arguments, threads, **names):
    """A session on the file of `model`, which is exported if the folder of kept things has none from this PyTorch."""
    folder = os.path.join(KEPT, f"onnx-torch-{torch.__version__}")
    path = os.path.join(folder, f"{name}.onnx")
    if not os.path.exists(path):
        os.makedirs(folder, exist_ok=True)
        # Under another name first: a run that was cut off must not leave half a model.
        part = os.path.join(folder, f"{name}.part.onnx")
        torch.onnx.export(model, arguments, part, dynamo=True, external_data=False, **names)
        os.replace(part, path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def forward(name, parts, threads):
    """A network with one input and one output."""
    model, x = parts("cpu")
    run = session(name, model, (x,), threads)
    fed, last = {run.get_inputs()[0].name: x.numpy()}, []

    def step():
        last[:] = run.run(None, fed)

    return step, lambda: sample(torch.from_numpy(last[0]))


class NextToken(torch.nn.Module):
    """A decoding step without side effects: the next token and the tables of keys and values after it."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.model = inference.Decoder().eval()
        self.register_buffer("positions", torch.arange(self.model.context))

    def forward(self, token, place, *tables):
        tables = [t.clone() for t in tables]
        mask = (self.positions <= place).view(1, 1, 1, -1)
        scores = self.model(token, place, mask, list(zip(tables[::2], tables[1::2])))
        return scores.argmax(-1), *tables


def decode(threads, count=64):
    """Tables go from one run to the next as ONNX Runtime's own values, which are not copied to arrays."""
    model = NextToken()
    empty = [t for pair in model.model.cache() for t in pair]
    first = (torch.zeros(1, dtype=torch.long), torch.zeros(1, dtype=torch.long))
    run = session("decoding", model, (*first, *empty), threads)
    names, outputs = [i.name for i in run.get_inputs()], [o.name for o in run.get_outputs()]
    value = onnxruntime.OrtValue.ortvalue_from_numpy
    places, last = [value(torch.tensor([at]).numpy()) for at in range(count)], []

    def step():
        token, tables, chosen = value(first[0].numpy()), [value(t.numpy()) for t in empty], []
        for place in places:
            fed = dict(zip(names, (token, place, *tables)))
            token, *tables = run.run_with_ort_values(outputs, fed)
            chosen.append(token.numpy()[0])
        last[:] = [torch.tensor(chosen)]

    return step, lambda: sample(last[0])


def resnet(batch, threads):
    return forward(f"resnet-{batch}", functools.partial(inference.resnet_parts, batch), threads)


VERSIONS = {
    "ResNet-18 224x224 inference, batch 1": functools.partial(resnet, 1),
    "ResNet-18 224x224 inference, batch 8": functools.partial(resnet, 8),
    "GPT-2 small, 128 tokens forward": functools.partial(forward, "gpt2", inference.gpt2_parts),
    "GPT-2 small, decoding 64 tokens": decode,
}
