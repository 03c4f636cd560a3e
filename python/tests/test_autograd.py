"""Gradient modes, `autograd.grad`, custom functions, Jacobians and finite differences."""
import pytest
import tiny_torch as torch
from tiny_torch.autograd import Function, gradcheck, gradgradcheck


def leaf(*values):
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def test_modes():
    x = leaf(1.0)
    with torch.no_grad():
        assert not (x * 2).requires_grad
        with torch.enable_grad():
            assert (x * 2).requires_grad
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()
    with torch.set_grad_enabled(False):
        assert not torch.is_grad_enabled()
    torch.set_grad_enabled(False)
    assert not torch.is_grad_enabled()
    torch.set_grad_enabled(True)
    with torch.inference_mode():
        assert torch.is_inference_mode_enabled() and not (x * 2).requires_grad
    assert not torch.is_inference_mode_enabled()


def test_modes_as_decorators():
    x = leaf(1.0)

    @torch.no_grad()
    def with_parentheses():
        return x * 2

    @torch.no_grad
    def without():
        return x * 2

    @torch.inference_mode()
    def inference():
        return x * 2

    @torch.set_grad_enabled(False)
    def switched():
        return x * 2

    for function in (with_parentheses, without, inference, switched):
        assert not function().requires_grad
    assert with_parentheses.__name__ == "with_parentheses" and torch.is_grad_enabled()


def test_mode_of_a_generator_is_its_own():
    @torch.no_grad()
    def numbers():
        try:
            got = yield torch.is_grad_enabled()
            yield got, torch.is_grad_enabled()
        except KeyError:
            yield "caught", torch.is_grad_enabled()

    generator = numbers()
    assert next(generator) is False and torch.is_grad_enabled()
    assert generator.send("sent") == ("sent", False) and torch.is_grad_enabled()
    generator = numbers()
    next(generator)
    assert generator.throw(KeyError) == ("caught", False)


def test_mode_is_restored_after_an_error():
    with pytest.raises(ValueError), torch.no_grad():
        raise ValueError
    assert torch.is_grad_enabled()


def test_grad():
    x, y = leaf(3.0), leaf(4.0)
    z = x * x * y
    (dx,) = torch.autograd.grad(z, x, create_graph=True)
    assert dx.item() == 24
    (dxx,) = torch.autograd.grad(dx, x)
    assert dxx.item() == 8
    a, b = torch.autograd.grad([x * 2, y * 3], [x, y], [torch.tensor([5.0], dtype=torch.float64), None])
    assert (a.item(), b.item()) == (10, 3)
    with pytest.raises(RuntimeError, match="implicitly created only for scalar outputs"):
        torch.autograd.grad(leaf(1.0, 2.0) * 2, x)
    with pytest.raises(RuntimeError, match="(?i)unused|not have been used"):
        torch.autograd.grad(x * 2, y)
    assert torch.autograd.grad(x * 2, y, allow_unused=True) == (None,)
    assert torch.autograd.grad(x * 2, y, materialize_grads=True)[0].item() == 0
    with pytest.raises(RuntimeError, match="Mismatch in shape"):
        torch.autograd.grad(x * 2, x, torch.ones(3))
    (rows,) = torch.autograd.grad(x * 2, x, torch.eye(1, dtype=torch.float64).reshape(1, 1), is_grads_batched=True)
    assert rows.tolist() == [[2]]


def test_backward_of_several_tensors():
    x = leaf(3.0)
    torch.autograd.backward([x * 2, x * 5])
    assert x.grad.item() == 7
    torch.autograd.backward(x * 2, inputs=[x])
    assert x.grad.item() == 9
    with pytest.raises(RuntimeError, match="cannot be an empty"):
        torch.autograd.backward(x * 2, inputs=[])


class Cube(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * 3 * x * x


class Scale(Function):
    @staticmethod
    def forward(x, factor):
        return x * factor

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.factor = inputs[1]

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.factor, None


class Exp(Function):
    @staticmethod
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, grad):
        (y,) = ctx.saved_tensors
        return grad * y


def test_custom_functions():
    x = leaf(2.0)
    y = Cube.apply(x)
    assert y.item() == 8 and y.grad_fn.name() == "CubeBackward"
    (dx,) = torch.autograd.grad(y, x, create_graph=True)
    assert dx.item() == 12
    assert torch.autograd.grad(dx, x)[0].item() == 12
    Scale.apply(x, 5).backward()
    assert x.grad.item() == 5
    assert gradcheck(Cube.apply, leaf(0.5, -1.0)) and gradgradcheck(Cube.apply, leaf(0.5, -1.0))
    assert gradcheck(Exp.apply, leaf(0.5, -1.0)) and gradgradcheck(Exp.apply, leaf(0.5, -1.0))
    with torch.no_grad():
        assert not Cube.apply(x).requires_grad


def test_custom_function_details():
    class Two(Function):
        @staticmethod
        def forward(ctx, a, b, flag):
            ctx.set_materialize_grads(flag)
            order = a.argsort()
            ctx.mark_non_differentiable(order)
            assert ctx.needs_input_grad == (True, False, False)
            return a * 2, a * 3, order

        @staticmethod
        def backward(ctx, first, second, order):
            Two.seen = (first, second)
            return first * 2, None, None

    a, b = leaf(1.0, 2.0), torch.ones(2, dtype=torch.float64)
    first, second, order = Two.apply(a, b, True)
    assert second.requires_grad and not order.requires_grad
    first.sum().backward()
    assert a.grad.tolist() == [2, 2] and Two.seen[1].tolist() == [0, 0]
    first, second, order = Two.apply(a, b, False)
    first.sum().backward()
    assert Two.seen[1] is None

    class WrongCount(Function):
        @staticmethod
        def forward(ctx, a, b):
            return a + b

        @staticmethod
        def backward(ctx, grad):
            return grad

    with pytest.raises(RuntimeError, match="incorrect number of gradients"):
        WrongCount.apply(a, b).sum().backward()
    with pytest.raises(RuntimeError, match="non-static forward"):
        Cube()(a)


def test_errors_in_custom_functions_reach_the_caller():
    class Fails(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, grad):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        Fails.apply(leaf(1.0)).sum().backward()


def test_saved_tensors_are_guarded():
    x = leaf(1.0, 2.0)
    w = x * 1
    y = Cube.apply(w)
    with torch.no_grad():
        w.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_once_differentiable():
    class Once(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, grad):
            return grad * 2 * ctx.saved_tensors[0]

    x, weight = leaf(3.0), leaf(1.0)
    (dx,) = torch.autograd.grad(Once.apply(x), x, weight, create_graph=True)
    assert dx.item() == 6
    with pytest.raises(RuntimeError, match="differentiate twice"):
        torch.autograd.grad(dx, weight)


def test_gradcheck_finds_a_wrong_gradient():
    class Wrong(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            return grad * 3

    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        gradcheck(Wrong.apply, leaf(1.0))
    assert gradcheck(Wrong.apply, leaf(1.0), raise_exception=False) is False
    assert gradcheck(lambda a, b: (a * b, a.sin()), (leaf(0.3, 0.7), leaf(1.0, -2.0)))


def test_functional():
    functional = torch.autograd.functional
    x = torch.tensor([1.0, 2.0])
    jacobian = functional.jacobian(lambda v: v * v, x)
    assert jacobian.tolist() == [[2, 0], [0, 4]]
    pair = functional.jacobian(lambda a, b: a * b, (torch.tensor(2.0), torch.tensor(5.0)))
    assert [p.item() for p in pair] == [5, 2]
    assert functional.hessian(lambda v: (v**3).sum(), x).tolist() == [[6, 0], [0, 12]]
    value, product = functional.vjp(lambda v: v * v, x, torch.tensor([1.0, 10.0]))
    assert value.tolist() == [1, 4] and product.tolist() == [2, 40]
    value, product = functional.jvp(lambda v: v * v, x, torch.tensor([1.0, 10.0]))
    assert product.tolist() == [2, 40]
    value, product = functional.vhp(lambda v: (v**3).sum(), x, torch.tensor([1.0, 1.0]))
    assert value.item() == 9 and product.tolist() == [6, 12]


def test_func_transforms():
    f = torch.func
    assert f.grad(lambda x: (x**2).sum())(torch.tensor([1.0, 3.0])).tolist() == [2, 6]
    assert f.grad(f.grad(lambda x: x**3))(torch.tensor(2.0)).item() == 12
    gradient, (value, aux) = f.grad_and_value(lambda x: (x * 2, "aux"), has_aux=True)(torch.tensor(3.0))
    assert (gradient.item(), value.item(), aux) == (2, 6, "aux")
    assert f.jacrev(lambda x: x**2)(torch.tensor([1.0, 2.0])).tolist() == [[2, 0], [0, 4]]
    assert f.hessian(lambda x: (x**3).sum())(torch.tensor([1.0, 2.0])).tolist() == [[6, 0], [0, 12]]
    rows = f.vmap(lambda x, y: x @ y, in_dims=(0, None))(torch.arange(6.0).reshape(3, 2), torch.tensor([1.0, 10.0]))
    assert rows.tolist() == [10, 32, 54]


def test_variable():
    v = torch.autograd.Variable(torch.ones(2), requires_grad=True)
    (v * 2).sum().backward()
    assert v.grad.tolist() == [2, 2] and isinstance(v, torch.autograd.Variable) and isinstance(v, torch.Tensor)


def test_views_of_a_leaf_are_no_leaves():
    x = torch.ones(2, 3, requires_grad=True)
    views = [x.view(2, 3), x[:], x.squeeze(), x.expand(2, 3), x.permute(0, 1), x.narrow(0, 0, 2), x.reshape(2, 3)]
    for view in views:
        assert not view.is_leaf and view.grad_fn is not None and view.requires_grad
        with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad is being used in an in-place operation."):
            view.add_(1)
    for whole in (lambda: x.__setitem__(slice(None), 0), lambda: x.__setitem__(..., 0), lambda: x.add_(1)):
        with pytest.raises(RuntimeError, match="^a leaf Variable that requires grad is being used in an in-place operation."):
            whole()
    view = x.view(2, 3)
    view.data = torch.zeros(2, 3)
    assert not view.requires_grad and x.requires_grad
    for same in (x.contiguous(), x.to(torch.float32), x.flatten(0, 0)):
        assert same is x
    (views[0] * 2).sum().backward()
    assert views[0].grad is None and x.grad.tolist() == [[2] * 3] * 2
    with torch.no_grad():
        assert x.view(2, 3).is_leaf


def nodes_of(tensor):
    seen, nodes = set(), [tensor.grad_fn]
    while nodes:
        node = nodes.pop()
        if node not in seen:
            seen.add(node)
            nodes += [following for following, _ in node.next_functions if following is not None]
    return seen


def test_the_graph_can_be_walked():
    w, b = torch.ones(3, 4, requires_grad=True), torch.ones(3, requires_grad=True)
    x, y = torch.ones(2, 4), torch.ones(2, 3)
    loss = torch.nn.functional.mse_loss(torch.nn.functional.linear(x, w, b), y)
    assert {node.name() for node in nodes_of(loss)} >= {"AccumulateGrad", "MeanBackward0"}
    assert sum(node.name() == "AccumulateGrad" for node in nodes_of(loss)) == 2
    # Each node is come upon by many ways, and is one.
    doubled = w
    for _ in range(40):
        doubled = doubled + doubled
    assert len(nodes_of(doubled)) == 41 and doubled.grad_fn == doubled.grad_fn
    assert loss.grad_fn.next_functions[0][0].next_functions

    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, factor):
            return x * factor

        @staticmethod
        def backward(ctx, grad):
            return grad * 2, None

    doubled = Double.apply(w, 2)
    assert [following.name() for following, _ in doubled.grad_fn.next_functions] == ["AccumulateGrad"]
    assert torch.ones(2).grad_fn is None
