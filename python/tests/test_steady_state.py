"""What a loop costs once it runs: nothing compiled, nothing allocated, nothing kept."""
import numpy as np
import pytest
import tiny_torch as torch
from tiny_torch import _C, nn

F = nn.functional

# What may not move from one step to the next.
COMPILED = ("cache_misses", "passes_run", "kernels_compiled")


@pytest.fixture(autouse=True)
def fresh():
    _C._flush()
    _C._clear_plans()
    _C._reset_counters()


def counters(*names):
    found = _C._counters()
    return {name: found[name] for name in names or COMPILED}


def training(optimizer, schedule=None):
    """A step of a small network, with everything that changes from step to step."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.1), nn.LayerNorm(16), nn.Linear(16, 4))
    optimizer = optimizer(model.parameters())
    schedule = schedule and schedule(optimizer)
    x, y = torch.randn(32, 8), torch.randint(0, 4, (32,))

    def step():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        if schedule:
            schedule.step()
        return loss

    return step


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "sgd, momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4),
    "adam": lambda p: torch.optim.Adam(p, lr=1e-2),
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-2),
    "adam, amsgrad": lambda p: torch.optim.Adam(p, lr=1e-2, amsgrad=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=1e-2),
    "rmsprop, momentum": lambda p: torch.optim.RMSprop(p, lr=1e-2, momentum=0.9, centered=True),
}
SCHEDULES = {
    "constant": None,
    "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=50),
    "lambda": lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda step: 1 / (1 + step)),
    "steps": lambda o: torch.optim.lr_scheduler.StepLR(o, step_size=3),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_no_pass_and_no_compiler_runs_after_the_first_step(optimizer, schedule):
    step = training(OPTIMIZERS[optimizer], SCHEDULES[schedule])
    # The examples, which are drawn here, come from files elsewhere.
    _C._flush()
    before = counters()
    step()
    assert counters()["cache_misses"] == before["cache_misses"] + 1, "a step is one plan"
    before = counters()
    runs = counters("runs")["runs"]
    for _ in range(20):
        step()
    assert counters() == before
    assert counters("runs")["runs"] == runs + 20, "a step is one plan"


@pytest.mark.parametrize("read", [False, True], ids=["losses unread", "losses read"])
def test_nothing_is_allocated_after_warm_up(read):
    step = training(OPTIMIZERS["adam"])
    for _ in range(5):
        loss = step()
        if read:
            loss.item()
    names = ("system_allocations", "live_bytes", "live_nodes")
    before = counters(*names)
    for _ in range(50):
        loss = step()
        if read:
            loss.item()
    assert counters(*names) == before


def test_memory_is_flat_over_ten_thousand_steps():
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    x, y = torch.randn(8, 4), torch.randn(8, 2)
    seen = []
    for i in range(10_000):
        optimizer.zero_grad()
        ((model(x) - y) ** 2).mean().backward()
        optimizer.step()
        if i in (99, 4_999, 9_999):
            seen.append(counters("live_nodes", "live_bytes", "system_allocations", "plans"))
    assert seen[0] == seen[1] == seen[2]


def test_what_a_tensor_holds_is_computed_once():
    """Random numbers are a reshaped part of what was drawn, and that part is nobody's."""
    x = torch.randn(3, 5, 7)
    before = counters("live_nodes")["live_nodes"]
    total = x.sum().item()
    assert counters("live_nodes")["live_nodes"] < before, "what it was made of is still needed"
    assert total == pytest.approx(float(x.double().sum()), rel=1e-4)


def test_a_loop_that_never_looks_at_a_result_stays_bounded():
    x = torch.zeros(4)
    most = 0
    for i in range(200_000):
        x = x + 1
        if i % 1_000 == 0:
            most = max(most, counters("live_nodes")["live_nodes"])
    assert x.tolist() == [200_000.0] * 4
    assert most < 50_000


@pytest.mark.parametrize("gradient", [False, True])
def test_a_loop_that_never_looks_at_a_result_is_cut_into_like_pieces(gradient):
    w = (torch.eye(4) * 0.5).requires_grad_(gradient)
    x = torch.ones(2, 4)
    before = counters("cache_misses", "runs")
    for _ in range(20_000):
        for _ in range(3):
            x = torch.tanh(x @ w)
        x = x.detach() / (x.detach().abs().sum() + 1) + 1
    after = counters("cache_misses", "runs")
    assert after["runs"] - before["runs"] >= 10
    # The first piece, those after it, the last; a few more until what is kept from piece to piece is the same.
    assert after["cache_misses"] - before["cache_misses"] <= 5
    # The fixed point, in float64.
    want = np.ones((2, 4))
    for _ in range(60):
        want = np.tanh(np.tanh(np.tanh(want * 0.5) * 0.5) * 0.5)
        want = want / (np.abs(want).sum() + 1) + 1
    np.testing.assert_allclose(x.numpy(), want, rtol=1e-5)


def test_a_hundred_lengths_compile_at_most_twice():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    embedding = nn.Embedding(50, 16)
    lengths = [5 + (i * 37) % 100 for i in range(100)]
    assert len(set(lengths)) == 100
    results = []
    with torch.no_grad():
        for n in lengths:
            tokens = torch.arange(n).remainder(50).unsqueeze(0)
            _C._flush()
            before = counters()
            results.append(layer(embedding(tokens))[0, 0].tolist())
            if len(results) > 2:
                assert counters() == before, f"length {n} compiled"
    # Each length gives what a plan made for it alone gives.
    _C._clear_plans()
    with torch.no_grad():
        for n, result in list(zip(lengths, results))[10::30]:
            tokens = torch.arange(n).remainder(50).unsqueeze(0)
            assert layer(embedding(tokens))[0, 0].tolist() == pytest.approx(result, rel=1e-4, abs=1e-5)
            _C._clear_plans()


def test_generation_that_appends_to_its_input_compiles_a_few_plans():
    torch.manual_seed(0)
    embedding, head = nn.Embedding(20, 8), nn.Linear(8, 20)
    x = torch.zeros(1, 1, dtype=torch.int64)
    with torch.no_grad():
        for i in range(30):
            if i == 6:
                before = counters()
            scores = head(embedding(x).mean(1))
            x = torch.cat([x, torch.multinomial(F.softmax(scores, -1), 1)], dim=1)
    assert x.shape == (1, 31) and counters() == before
