"""Tensors that several threads record, share and drop.

Each test is a process of its own: as long as a single thread records, counts and locks go without atomic instructions, and the
first other thread ends that for good.
"""

import subprocess
import sys

PROLOGUE = """
import os, threading
import tiny_torch as torch
from tiny_torch import _C

def run(*functions):
    errors = []
    def guarded(f):
        try:
            f()
        except BaseException as error:
            errors.append(error)
    threads = [threading.Thread(target=guarded, args=(f,)) for f in functions]
    for thread in threads:
        thread.start()
    return threads, errors

def live():
    _C._flush()
    return _C._counters()["live_nodes"]
"""


def run(program):
    # From Python 3.12 on a child made beside threads is worth a warning.
    done = subprocess.run([sys.executable, "-W", "ignore::DeprecationWarning", "-c", PROLOGUE + program], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def test_threads_come_while_the_first_records():
    run(
        """
x, y = torch.arange(8.0), torch.ones(8)
torch.cpu.synchronize()
before = live()

def record():
    for turn in range(40):
        z = x
        for _ in range(50):
            z = z + y
        if turn % 4 == 0:
            assert z.tolist() == [i + 50.0 for i in range(8)], z

threads, errors = run(*[record] * 3)
while any(thread.is_alive() for thread in threads):
    record()
assert not errors, errors
del threads
assert live() == before, (live(), before)
"""
    )


def test_training_in_threads_gives_what_it_gives_alone():
    run(
        """
def train(seed, losses):
    generator = torch.Generator().manual_seed(seed)
    w = torch.randn(6, 3, generator=generator).requires_grad_()
    x = torch.randn(16, 6, generator=generator)
    optimizer = torch.optim.Adam([w], lr=0.1)
    for _ in range(12):
        optimizer.zero_grad()
        loss = (x @ w).relu().pow(2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

alone = []
for seed in range(3):
    alone.append([])
    train(seed, alone[-1])
together = [[] for _ in alone]
threads, errors = run(*[lambda seed=seed: train(seed, together[seed]) for seed in range(3)])
for thread in threads:
    thread.join()
assert not errors, errors
assert together == alone, (together, alone)
"""
    )


def test_a_child_process_of_another_thread():
    """A thread that never recorded makes children while the first records; they record all the same."""
    run(
        """
x = torch.rand(1 << 16)
stop = threading.Event()
statuses = []

def children():
    for _ in range(20):
        child = os.fork()
        if child == 0:
            ok = torch.arange(4.0).add(1).tolist() == [1.0, 2.0, 3.0, 4.0] if len(statuses) % 2 else True
            os._exit(0 if ok else 1)
        statuses.append(os.waitpid(child, 0)[1])
    stop.set()

threads, errors = run(children)
while not stop.is_set():
    y = x * 2 + 1
    del y
threads[0].join()
assert not errors and statuses == [0] * 20, (errors, statuses)
"""
    )
