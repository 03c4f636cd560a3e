"""`Optimizer`, the base class: parameter groups, state, hooks, and loading and saving of both."""

from __future__ import annotations

import functools
from collections import OrderedDict, defaultdict
from itertools import chain

import tiny_torch as torch
from tiny_torch import _C
from tiny_torch.utils.hooks import RemovableHandle

__all__ = ["Optimizer", "ParamsT", "register_optimizer_step_post_hook", "register_optimizer_step_pre_hook"]

_global_optimizer_pre_hooks: dict = OrderedDict()
_global_optimizer_post_hooks: dict = OrderedDict()
ParamsT = object


class _RequiredParameter:
    """The default of an argument that has none."""

    def __repr__(self):
        return "<required parameter>"


required = _RequiredParameter()


def _add_hook(hooks, hook, prepend=False):
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle


def register_optimizer_step_pre_hook(hook):
    """Runs `hook(optimizer, args, kwargs)` before the step of every optimizer."""
    return _add_hook(_global_optimizer_pre_hooks, hook)


def register_optimizer_step_post_hook(hook):
    """Runs `hook(optimizer, args, kwargs)` after the step of every optimizer."""
    return _add_hook(_global_optimizer_post_hooks, hook)


def _number(x) -> float:
    """An option that may be a number or a tensor of one, as a number."""
    return float(x) if isinstance(x, torch.Tensor) else x


def _compute(tensors: list) -> None:
    """Computes tensors now; nothing while a GPU's work is captured, when nothing can be."""
    if not _C._cuda_is_capturing():
        _C._sync_all(tensors)


def _zeros(like):
    """Zeros of the sizes of `like`, for a parameter's state. They are in memory from the first, so that the first step is
    the same program as the next."""
    zeros = torch.zeros_like(like, memory_format=torch.preserve_format)
    _C._hold_zeros(zeros)
    return zeros


def _check_option(value, ok: bool, what: str) -> None:
    if not ok:
        raise ValueError(f"Invalid {what}: {value}")


def _check_lr(lr) -> None:
    if isinstance(lr, torch.Tensor):
        if lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
    else:
        _check_option(lr, lr >= 0.0, "learning rate")


def _closure_loss(closure):
    """The loss that `closure` computes, with gradients."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()


def _wrap_step(step):
    """`step` between its hooks, followed by the computation of all that it recorded."""

    @functools.wraps(step)
    def wrapper(*args, **kwargs):
        self, *_ = args
        for hook in chain(_global_optimizer_pre_hooks.values(), self._optimizer_step_pre_hooks.values()):
            result = hook(self, args, kwargs)
            if result is not None:
                if not (isinstance(result, tuple) and len(result) == 2):
                    raise RuntimeError(
                        f"{step} must return None or a tuple of (new_args, new_kwargs), but got {result}."
                    )
                args, kwargs = result
        out = step(*args, **kwargs)
        for hook in chain(self._optimizer_step_post_hooks.values(), _global_optimizer_post_hooks.values()):
            hook(self, args, kwargs)
        # A loop that never prints must not record without bound.
        _C._flush()
        return out

    wrapper.hooked = True
    return wrapper


class _varying_numbers:
    """Within it, numbers given to operators are expected to be others at the next step: rates, corrections of bias.

    The plan of a step takes them as inputs from the first, so that the second value does not compile it again.
    """

    __slots__ = ("_before",)

    def __enter__(self):
        self._before = _C._set_varying(True)

    def __exit__(self, *error):
        _C._set_varying(self._before)


class Optimizer:
    """Holds parameters in groups, each with its options, and what each parameter's updates remember.

    The optimizers here keep the scalars of a parameter's state, such as `step`, as Python numbers, because a step
    computes with them; `state` shows them as the 0-d tensors that PyTorch has, brought up to date when it is read.
    """

    # The scalars of a parameter's state that are kept as Python numbers.
    _host_keys: tuple = ()
    # Whether an update depends on how many there were.
    _uses_step = True

    def __init__(self, params, defaults: dict) -> None:
        self.defaults = defaults
        self._make_hooks()
        if isinstance(params, torch.Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, but got "
                + torch.typename(params)
            )
        self._state: defaultdict = defaultdict(dict)
        self._host: dict = {}
        self._exposed = False
        self.param_groups: list = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)
        self._patch_step_function()
        # The first step then reads parameters that are in memory, as the next will, and is the same program.
        _compute([p for group in self.param_groups for p in group["params"]])

    def _make_hooks(self):
        for when in ("step", "state_dict", "load_state_dict"):
            for side in ("pre", "post"):
                self.__dict__.setdefault(f"_optimizer_{when}_{side}_hooks", OrderedDict())

    def _patch_step_function(self) -> None:
        cls = self.__class__
        if not getattr(cls.step, "hooked", None):
            cls.step = _wrap_step(cls.step)

    # State. `_host` maps a parameter to its scalars and to what their tensors were when the two last agreed.

    @property
    def state(self):
        """What is remembered for each parameter."""
        if self._host_keys:
            self._show_scalars()
        return self._state

    @state.setter
    def state(self, value):
        self._state = value
        self._host = {}

    def _show_scalars(self):
        """Writes the Python scalars to their tensors, in place so that whoever holds a tensor sees its value."""
        self._exposed = True
        with torch.no_grad():
            for p, host in self._host.items():
                state = self._state.get(p)
                if not state or not host["dirty"]:
                    continue
                for key in self._host_keys:
                    state[key].fill_(host[key])
                    host["seen"][key] = (state[key], state[key]._version)
                host["dirty"] = False

    def _check_scalars(self):
        """Forgets the scalars whose tensors somebody else has changed since they were shown."""
        self._exposed = False
        for p, host in list(self._host.items()):
            state = self._state.get(p, {})
            for key, (tensor, version) in host["seen"].items():
                if state.get(key) is not tensor or tensor._version != version:
                    del self._host[p]
                    break

    def _scalars(self, p, state) -> dict:
        """The Python scalars of one parameter, which the caller may change; their tensors are read only once."""
        host = self._host.get(p)
        if host is None:
            host = {key: float(state[key]) for key in self._host_keys}
            host["seen"] = {}
            self._host[p] = host
        host["dirty"] = True
        return host

    def _begin_step(self):
        if self._exposed:
            self._check_scalars()
        if self._uses_step and self._host_keys and _C._cuda_is_capturing():
            raise RuntimeError(
                f"Attempting CUDA graph capture of step() for an instance of {type(self).__name__}: its updates depend on a"
                " count of steps that is a number of the processor, and a replay would not advance it. Capture forward and"
                " backward, and call step() after each replay."
            )
        return self._state

    @staticmethod
    def _scalar(value: float):
        """A scalar of a parameter's state as a tensor."""
        return torch.tensor(float(value), dtype=torch.float32)

    # Pickling and printing.

    def __getstate__(self):
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state):
        if "state" in state:
            self._host = {}
            self._exposed = False
            self._state = state["state"]
        self.__dict__.update({k: v for k, v in state.items() if k != "state"})
        self._make_hooks()
        self._patch_step_function()
        self.defaults.setdefault("differentiable", False)

    def __repr__(self) -> str:
        text = self.__class__.__name__ + " ("
        for i, group in enumerate(self.param_groups):
            text += f"\nParameter Group {i}\n"
            text += "".join(f"    {key}: {group[key]}\n" for key in sorted(group) if key != "params")
        return text + ")"

    # Hooks.

    def register_step_pre_hook(self, hook):
        """Runs `hook(optimizer, args, kwargs)` before `step`; a result replaces the arguments."""
        return _add_hook(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook):
        """Runs `hook(optimizer, args, kwargs)` after `step`."""
        return _add_hook(self._optimizer_step_post_hooks, hook)

    def register_state_dict_pre_hook(self, hook, prepend: bool = False):
        """Runs `hook(optimizer)` before `state_dict`."""
        return _add_hook(self._optimizer_state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(self, hook, prepend: bool = False):
        """Runs `hook(optimizer, state_dict)` after `state_dict`; a result replaces the dictionary."""
        return _add_hook(self._optimizer_state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(self, hook, prepend: bool = False):
        """Runs `hook(optimizer, state_dict)` before loading; a result replaces the dictionary."""
        return _add_hook(self._optimizer_load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(self, hook, prepend: bool = False):
        """Runs `hook(optimizer)` after loading."""
        return _add_hook(self._optimizer_load_state_dict_post_hooks, hook, prepend)

    # Saving and loading.

    def state_dict(self) -> dict:
        """`state` and `param_groups`, with numbers in place of parameters."""
        for hook in self._optimizer_state_dict_pre_hooks.values():
            hook(self)
        numbers: dict = {}
        packed_groups = []
        for group in self.param_groups:
            packed = {k: v for k, v in group.items() if k != "params"}
            for p in group["params"]:
                numbers.setdefault(id(p), len(numbers))
            packed["params"] = [numbers[id(p)] for p in group["params"]]
            packed_groups.append(packed)
        packed_state = {(numbers[id(k)] if isinstance(k, torch.Tensor) else k): v for k, v in self.state.items()}
        result = {"state": packed_state, "param_groups": packed_groups}
        for hook in self._optimizer_state_dict_post_hooks.values():
            replaced = hook(self, result)
            if replaced is not None:
                result = replaced
        return result

    @staticmethod
    def _cast(param, value, key=None):
        """`value` as the state of `param`: its tensors in the parameter's dtype and on its device."""
        if isinstance(value, torch.Tensor):
            if key == "step":
                return value.to(dtype=torch.float32) if value.dtype != torch.float32 else value
            if param.is_floating_point():
                return value.to(dtype=param.dtype, device=param.device)
            return value.to(device=param.device)
        if isinstance(value, dict):
            return {k: Optimizer._cast(param, v, k) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(Optimizer._cast(param, v, key) for v in value)
        return value

    def load_state_dict(self, state_dict: dict) -> None:
        """Takes the state and the options of another optimizer over the same parameters, given in the same order."""
        state_dict = state_dict.copy()
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            replaced = hook(self, state_dict)
            if replaced is not None:
                state_dict = replaced
        import copy

        groups = self.param_groups
        saved_groups = copy.deepcopy(state_dict["param_groups"])
        if len(groups) != len(saved_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(g["params"]) != len(s["params"]) for g, s in zip(groups, saved_groups)):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of optimizer's group"
            )
        owners = dict(
            zip(
                chain.from_iterable(g["params"] for g in saved_groups),
                chain.from_iterable(g["params"] for g in groups),
            )
        )
        state: defaultdict = defaultdict(dict)
        for k, v in state_dict["state"].items():
            if k in owners:
                # A copy, so that two optimizers that load one dictionary stay apart.
                state[owners[k]] = self._cast(owners[k], copy.deepcopy(v))
            else:
                state[k] = v
        new_groups = []
        for group, saved in zip(groups, saved_groups):
            saved["params"] = group["params"]
            if "param_names" in group and "param_names" not in saved:
                saved["param_names"] = group["param_names"]
            new_groups.append(saved)
        self.__setstate__({"state": state, "param_groups": new_groups})
        for hook in self._optimizer_load_state_dict_post_hooks.values():
            hook(self)

    # Gradients and groups.

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops the gradients of all parameters, or fills them with zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p.grad = None
                    continue
                grad = p.grad
                if grad is not None:
                    if grad.grad_fn is not None:
                        grad.detach_()
                    else:
                        grad.requires_grad_(False)
                    grad.zero_()

    def step(self, closure=None):
        """One update of every parameter that has a gradient; returns the closure's loss."""
        raise NotImplementedError

    def add_param_group(self, param_group: dict) -> None:
        """Adds parameters with options of their own; options left out are the optimizer's defaults."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, torch.Tensor):
            param_group["params"] = [params]
        elif isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the ordering of tensors in sets "
                "will change between runs. Please use a list instead."
            )
        else:
            param_group["params"] = list(params)
        members = param_group["params"]
        if members and all(isinstance(m, tuple) for m in members):
            param_group["param_names"] = [name for name, _ in members]
            param_group["params"] = members = [p for _, p in members]
        elif any(isinstance(m, tuple) for m in members):
            raise ValueError("all optimizer params should be with/without names. Some param names are missing")
        for param in members:
            if not isinstance(param, torch.Tensor):
                raise TypeError(
                    "optimizer can only optimize Tensors, but one of the params is " + torch.typename(param)
                )
            if not self.defaults.get("differentiable", None) and not (param.is_leaf or param.retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor")
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(f"parameter group didn't specify a value of required optimization parameter {name}")
            param_group.setdefault(name, default)
        if len(members) != len(set(members)):
            import warnings

            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this will cause an error; "
                "see github.com/pytorch/pytorch/issues/40967 for more information",
                stacklevel=3,
            )
        known = set(chain.from_iterable(g["params"] for g in self.param_groups))
        if not known.isdisjoint(members):
            raise ValueError("some parameters appear in more than one parameter group")
        if self.param_groups and ("param_names" in param_group) != ("param_names" in self.param_groups[0]):
            raise ValueError(
                "all optimizer param groups should be with/without names. cannot add param group with names to the "
                "optimizer" if "param_names" in param_group else
                "all optimizer param groups should be with/without names. cannot add param group without names to the "
                "optimizer"
            )  # fmt: skip
        self.param_groups.append(param_group)
