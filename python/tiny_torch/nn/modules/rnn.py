"""Recurrent networks: all steps of a direction as one operator, or one step after the other."""

from __future__ import annotations

import math

import tiny_torch as torch
from tiny_torch import _C

from .. import functional as F
from .. import init
from ..parameter import Parameter
from ..utils.rnn import PackedSequence
from .module import Module

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNBase", "RNNCell", "RNNCellBase"]

_GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


def apply_permutation(tensor, permutation, dim: int = 1):
    """`tensor` with the places along `dim` reordered."""
    return tensor.index_select(dim, permutation)


def _lstm_step(igates, hidden, w_hh, b_hh, w_hr=None):
    """One step from the input's share of the gates (N, 4H) and (h, c)."""
    h, c = hidden
    gates = igates + F.linear(h, w_hh, b_hh)
    i, f, g, o = gates.chunk(4, 1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(c)
    return (h if w_hr is None else F.linear(h, w_hr), c)


def _gru_step(igates, hidden, w_hh, b_hh):
    (h,) = hidden
    i_r, i_z, i_n = igates.chunk(3, 1)
    h_r, h_z, h_n = F.linear(h, w_hh, b_hh).chunk(3, 1)
    reset = torch.sigmoid(h_r + i_r)
    update = torch.sigmoid(h_z + i_z)
    new = torch.tanh(i_n + h_n * reset)
    return ((h - new) * update + new,)


def _tanh_step(igates, hidden, w_hh, b_hh):
    return (torch.tanh(igates + F.linear(hidden[0], w_hh, b_hh)),)


def _relu_step(igates, hidden, w_hh, b_hh):
    return (torch.relu(igates + F.linear(hidden[0], w_hh, b_hh)),)


_STEPS = {"LSTM": _lstm_step, "GRU": _gru_step, "RNN_TANH": _tanh_step, "RNN_RELU": _relu_step}


def _run_steps(step, igates, hidden, weights, reverse):
    """All steps of one direction; `igates` holds one tensor for each. Returns outputs in time order, final state."""
    outputs = []
    for x in reversed(igates) if reverse else igates:
        hidden = step(x, hidden, *weights)
        outputs.append(hidden[0])
    if reverse:
        outputs.reverse()
    return outputs, hidden


def _run_whole(mode, x, hidden, w_ih, b_ih, weights, reverse):
    """All steps of one direction over `x` (T, N, I), by one operator; the outputs are one tensor (T, N, H)."""
    w_hh, b_hh = weights
    if b_hh is None:
        b_hh = w_hh.new_zeros(w_hh.size(0))
    elif mode != "GRU":
        # Both are added to the same gates; of a GRU's new state the second is within the reset gate's product.
        b_ih, b_hh = None, b_ih + b_hh
    igates = F.linear(x.flip(0) if reverse else x, w_ih, b_ih)
    out, *cell = _C._nn._recurrent(mode, igates, w_hh, b_hh, hidden)
    last = out[-1]
    return (out.flip(0) if reverse else out), (last, *cell)


def _run_packed(step, igates, hidden, weights, reverse):
    """The same over steps with fewer and fewer sequences, the longest first."""
    outputs = []
    if reverse:
        state, at = None, 0
        for x in reversed(igates):
            batch = x.size(0)
            if state is None:
                state = tuple(h[:batch] for h in hidden)
            elif batch > at:
                # Shorter sequences join, at their last element.
                state = tuple(torch.cat([s, h[at:batch]]) for s, h in zip(state, hidden))
            at = batch
            state = step(x, state, *weights)
            outputs.append(state[0])
        outputs.reverse()
        return outputs, state
    finished = []
    state, at = hidden, hidden[0].size(0)
    for x in igates:
        batch = x.size(0)
        if batch < at:
            finished.append(tuple(s[batch:] for s in state))
            state = tuple(s[:batch] for s in state)
            at = batch
        state = step(x, state, *weights)
        outputs.append(state[0])
    finished.append(state)
    finished.reverse()
    return outputs, tuple(torch.cat(parts) for parts in zip(*finished))


class RNNBase(Module):
    """What `RNN`, `LSTM` and `GRU` share: parameters, their initial values, layers and directions."""

    def __init__(
        self, mode: str, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0, device=None,
        dtype=None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        num_directions = 2 if bidirectional else 1
        if not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1 or isinstance(dropout, bool):
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
            )
        if dropout > 0 and num_layers == 1:
            import warnings

            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects "
                f"num_layers greater than 1, but got dropout={dropout} and num_layers={num_layers}",
                stacklevel=2,
            )
        for name, value in (("input_size", input_size), ("hidden_size", hidden_size)):
            if not isinstance(value, int):
                raise TypeError(f"{name} should be of type int, got: {type(value).__name__}")
        if input_size < 0:
            raise ValueError("input_size must be greater than or equal to zero")
        if hidden_size <= 0:
            raise ValueError("hidden_size must be greater than zero")
        if num_layers <= 0:
            raise ValueError("num_layers must be greater than zero")
        if proj_size < 0:
            raise ValueError("proj_size should be a positive integer or zero to disable projections")
        if proj_size >= hidden_size:
            raise ValueError("proj_size has to be smaller than hidden_size")
        if mode not in _GATES:
            raise ValueError("Unrecognized RNN mode: " + mode)
        gates = _GATES[mode] * hidden_size
        out_size = proj_size if proj_size > 0 else hidden_size
        self._flat_weights_names = []
        self._all_weights = []
        for layer in range(num_layers):
            for direction in range(num_directions):
                in_size = input_size if layer == 0 else out_size * num_directions
                shapes = [("weight_ih", (gates, in_size)), ("weight_hh", (gates, out_size))]
                if bias:
                    shapes += [("bias_ih", (gates,)), ("bias_hh", (gates,))]
                if proj_size > 0:
                    shapes.append(("weight_hr", (proj_size, hidden_size)))
                suffix = f"_l{layer}" + ("_reverse" if direction else "")
                names = [name + suffix for name, _ in shapes]
                for name, (_, shape) in zip(names, shapes):
                    setattr(self, name, Parameter(torch.empty(shape, device=device, dtype=dtype)))
                self._flat_weights_names.extend(names)
                self._all_weights.append(names)
        self.reset_parameters()

    @property
    def _flat_weights(self):
        return [getattr(self, name) for name in self._flat_weights_names]

    @property
    def all_weights(self):
        """The parameters, a list for each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def flatten_parameters(self) -> None:
        """Accepted and ignored: there is no separate packed copy of the weights."""

    def reset_parameters(self) -> None:
        """Draws every parameter uniform within 1/sqrt(hidden_size)."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def check_input(self, input, batch_sizes) -> None:
        if not torch.is_floating_point(input):
            raise ValueError(f"input must have floating-point dtype, but got {input.dtype}")
        first = getattr(self, self._flat_weights_names[0])
        if input.dtype != first.dtype and not torch.is_autocast_enabled():
            raise ValueError(f"RNN input dtype ({input.dtype}) does not match weight dtype ({first.dtype}). Convert input: "
                             f"input.to({first.dtype}), or convert model: model.to({input.dtype})")  # fmt: skip
        expected = 2 if batch_sizes is not None else 3
        if input.dim() != expected:
            raise RuntimeError(f"input must have {expected} dimensions, got {input.dim()}")
        if self.input_size != input.size(-1):
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {input.size(-1)}"
            )

    def get_expected_hidden_size(self, input, batch_sizes):
        batch = int(batch_sizes[0]) if batch_sizes is not None else input.size(0 if self.batch_first else 1)
        layers = self.num_layers * (2 if self.bidirectional else 1)
        return (layers, batch, self.proj_size if self.proj_size > 0 else self.hidden_size)

    def get_expected_cell_size(self, input, batch_sizes):
        layers, batch, _ = self.get_expected_hidden_size(input, batch_sizes)
        return (layers, batch, self.hidden_size)

    def check_hidden_size(self, hx, expected, msg: str = "Expected hidden size {}, got {}") -> None:
        if hx.size() != tuple(expected):
            raise RuntimeError(msg.format(expected, list(hx.size())))

    def check_forward_args(self, input, hidden, batch_sizes):
        self.check_input(input, batch_sizes)
        self.check_hidden_size(hidden[0], self.get_expected_hidden_size(input, batch_sizes))

    def permute_hidden(self, hx, permutation):
        return hx if permutation is None else tuple(apply_permutation(h, permutation) for h in hx)

    def extra_repr(self) -> str:
        s = f"{self.input_size}, {self.hidden_size}"
        if self.proj_size != 0:
            s += f", proj_size={self.proj_size}"
        if self.num_layers != 1:
            s += f", num_layers={self.num_layers}"
        if self.bias is not True:
            s += f", bias={self.bias}"
        if self.batch_first is not False:
            s += f", batch_first={self.batch_first}"
        if self.dropout != 0:
            s += f", dropout={self.dropout}"
        if self.bidirectional is not False:
            s += f", bidirectional={self.bidirectional}"
        return s

    def _layer_weights(self, index):
        """(weight_ih, bias_ih, the rest) of one layer and direction."""
        weights = self.all_weights[index]
        w_ih, w_hh = weights[:2]
        b_ih, b_hh = weights[2:4] if self.bias else (None, None)
        rest = [w_hh, b_hh]
        if self.proj_size > 0:
            rest.append(weights[-1])
        return w_ih, b_ih, rest

    def _run(self, input, hidden, batch_sizes):
        """`input` (T, N, I), or packed (sum, I) with `batch_sizes`; `hidden` a tuple of (layers, N, H)."""
        step = _STEPS[self.mode]
        # A projection, steps of fewer and fewer sequences and the casts of `autocast` are of single steps.
        whole = batch_sizes is None and self.proj_size == 0 and not _C._autocast_is_on()
        directions = 2 if self.bidirectional else 1
        finals = []
        x = input
        for layer in range(self.num_layers):
            outputs = []
            for direction in range(directions):
                index = layer * directions + direction
                w_ih, b_ih, rest = self._layer_weights(index)
                first = tuple(h[index] for h in hidden)
                if whole:
                    out, final = _run_whole(self.mode, x, first, w_ih, b_ih, rest, direction == 1)
                elif batch_sizes is None:
                    igates = F.linear(x, w_ih, b_ih).unbind(0)
                    out, final = _run_steps(step, igates, first, rest, direction == 1)
                    out = torch.stack(out)
                else:
                    igates = F.linear(x, w_ih, b_ih).split(batch_sizes)
                    out, final = _run_packed(step, igates, first, rest, direction == 1)
                    out = torch.cat(out)
                outputs.append(out)
                finals.append(final)
            x = outputs[0] if directions == 1 else torch.cat(outputs, -1)
            if self.dropout > 0 and self.training and layer < self.num_layers - 1:
                x = F.dropout(x, self.dropout, True)
        return x, tuple(torch.stack(parts) for parts in zip(*finals))

    def _check_states(self, hx, batched):
        """The shapes of a given state, before it is brought to three dimensions."""
        want, word = (3, "batched") if batched else (2, "unbatched")
        if any(h.dim() != want for h in hx):
            if len(hx) == 2:
                raise RuntimeError(
                    f"For {word} {want}-D input, hx and cx should also be {want}-D but got "
                    f"({hx[0].dim()}-D, {hx[1].dim()}-D) tensors"
                )
            raise RuntimeError(f"For {word} {want}-D input, hx should also be {want}-D but got {hx[0].dim()}-D tensor")

    def _forward(self, input, hx):
        """`hx` None or a tuple; returns the output and the tuple of final states."""
        packed = isinstance(input, PackedSequence)
        batched = True
        batch_sizes = sorted_indices = unsorted_indices = None
        if packed:
            input, sizes, sorted_indices, unsorted_indices = input
            batch_sizes = [int(n) for n in sizes.tolist()]
            batch = batch_sizes[0]
        else:
            if input.dim() not in (2, 3):
                raise ValueError(f"{self._get_name()}: Expected input to be 2D or 3D, got {input.dim()}D instead")
            batched = input.dim() == 3
            if not batched:
                input = input.unsqueeze(0 if self.batch_first else 1)
            batch = input.size(0 if self.batch_first else 1)
        if hx is None:
            layers = self.num_layers * (2 if self.bidirectional else 1)
            out_size = self.proj_size if self.proj_size > 0 else self.hidden_size
            options = {"dtype": input.dtype, "device": input.device}
            hx = (torch.zeros(layers, batch, out_size, **options),)
            if self.mode == "LSTM":
                hx += (torch.zeros(layers, batch, self.hidden_size, **options),)
        else:
            if not packed:
                self._check_states(hx, batched)
                if not batched:
                    hx = tuple(h.unsqueeze(1) for h in hx)
            hx = self.permute_hidden(hx, sorted_indices)
        self.check_forward_args(input, hx, batch_sizes)
        swap = self.batch_first and not packed
        output, final = self._run(input.transpose(0, 1) if swap else input, hx, batch_sizes)
        if swap:
            output = output.transpose(0, 1)
        if packed:
            return PackedSequence(output, sizes, sorted_indices, unsorted_indices), self.permute_hidden(
                final, unsorted_indices
            )
        if not batched:
            output = output.squeeze(0 if self.batch_first else 1)
            final = tuple(h.squeeze(1) for h in final)
        return output, final


class RNN(RNNBase):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu; (L, N, I), (layers, N, H) -> (L, N, H), (layers, N, H)."""

    def __init__(self, *args, **kwargs):
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        if len(args) > 3:
            self.nonlinearity = args[3]
            args = args[:3] + args[4:]
        else:
            self.nonlinearity = kwargs.pop("nonlinearity", "tanh")
        if self.nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{self.nonlinearity}'. Select from 'tanh' or 'relu'.")
        super().__init__("RNN_" + self.nonlinearity.upper(), *args, **kwargs)

    def forward(self, input, hx=None):
        output, final = self._forward(input, None if hx is None else (hx,))
        return output, final[0]


class LSTM(RNNBase):
    """Long short-term memory; (L, N, I), (h, c) -> (L, N, H), (h, c)."""

    def __init__(self, *args, **kwargs):
        super().__init__("LSTM", *args, **kwargs)

    def check_forward_args(self, input, hidden, batch_sizes):
        self.check_input(input, batch_sizes)
        self.check_hidden_size(
            hidden[0], self.get_expected_hidden_size(input, batch_sizes), "Expected hidden[0] size {}, got {}"
        )
        self.check_hidden_size(
            hidden[1], self.get_expected_cell_size(input, batch_sizes), "Expected hidden[1] size {}, got {}"
        )

    def forward(self, input, hx=None):
        return self._forward(input, None if hx is None else tuple(hx))


class GRU(RNNBase):
    """Gated recurrent unit; (L, N, I), (layers, N, H) -> (L, N, H), (layers, N, H)."""

    def __init__(self, *args, **kwargs):
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        super().__init__("GRU", *args, **kwargs)

    def forward(self, input, hx=None):
        output, final = self._forward(input, None if hx is None else (hx,))
        return output, final[0]


class RNNCellBase(Module):
    """What the cells share: two weights, two biases."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device=None, dtype=None) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        gates = num_chunks * hidden_size
        self.weight_ih = Parameter(torch.empty((gates, input_size), device=device, dtype=dtype))
        self.weight_hh = Parameter(torch.empty((gates, hidden_size), device=device, dtype=dtype))
        if bias:
            self.bias_ih = Parameter(torch.empty(gates, device=device, dtype=dtype))
            self.bias_hh = Parameter(torch.empty(gates, device=device, dtype=dtype))
        else:
            self.register_parameter("bias_ih", None)
            self.register_parameter("bias_hh", None)
        self.reset_parameters()

    def extra_repr(self) -> str:
        s = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            s += f", bias={self.bias}"
        if getattr(self, "nonlinearity", "tanh") != "tanh":
            s += f", nonlinearity={self.nonlinearity}"
        return s

    def reset_parameters(self) -> None:
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def _step(self, step, input, hx, count):
        """`hx` a tuple of `count` states or None; returns the new states, with the input's number of dimensions."""
        name = type(self).__name__
        if input.dim() not in (1, 2):
            raise ValueError(f"{name}: Expected input to be 1D or 2D, got {input.dim()}D instead")
        if hx is not None:
            for i, h in enumerate(hx):
                if h.dim() not in (1, 2):
                    which = f"hx[{i}]" if count == 2 else "hidden"
                    raise ValueError(f"{name}: Expected {which} to be 1D or 2D, got {h.dim()}D instead")
        batched = input.dim() == 2
        x = input if batched else input.unsqueeze(0)
        if x.size(1) != self.input_size:
            raise RuntimeError(f"input has inconsistent input_size: got {x.size(1)} expected {self.input_size}")
        if hx is None:
            zeros = torch.zeros(x.size(0), self.hidden_size, dtype=x.dtype, device=x.device)
            hx = (zeros,) * count
        else:
            hx = tuple(h if batched else h.unsqueeze(0) for h in hx)
            for i, h in enumerate(hx):
                if h.size(0) != x.size(0):
                    raise RuntimeError(f"Input batch size {x.size(0)} doesn't match hidden{i} batch size {h.size(0)}")
                if h.size(1) != self.hidden_size:
                    raise RuntimeError(
                        f"hidden{i} has inconsistent hidden_size: got {h.size(1)}, expected {self.hidden_size}"
                    )
        new = step(F.linear(x, self.weight_ih, self.bias_ih), hx, self.weight_hh, self.bias_hh)
        return new if batched else tuple(h.squeeze(0) for h in new)


class RNNCell(RNNCellBase):
    """One step of `RNN`: (N, I), (N, H) -> (N, H)."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh", device=None, dtype=None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input, hx=None):
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        step = _tanh_step if self.nonlinearity == "tanh" else _relu_step
        return self._step(step, input, None if hx is None else (hx,), 1)[0]


class LSTMCell(RNNCellBase):
    """One step of `LSTM`: (N, I), (h, c) -> (h, c)."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device=None, dtype=None) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input, hx=None):
        return self._step(_lstm_step, input, None if hx is None else tuple(hx), 2)


class GRUCell(RNNCellBase):
    """One step of `GRU`: (N, I), (N, H) -> (N, H)."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device=None, dtype=None) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input, hx=None):
        return self._step(_gru_step, input, None if hx is None else (hx,), 1)[0]
