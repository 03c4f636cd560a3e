"""Programs that import `torch`, run on this package."""
import subprocess
import sys
import textwrap

import pytest

TTK = [sys.executable, "-m", "tiny_torch"]


def run(*arguments, cwd=None):
    return subprocess.run([*TTK, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=120)


@pytest.fixture
def script(tmp_path):
    def write(text, name="program.py"):
        path = tmp_path / name
        path.write_text(textwrap.dedent(text))
        return path

    return write


def output_of(path, *arguments):
    done = run("run", path, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_unmodified_program(script):
    path = script(
        """
        import sys
        import torch
        import torch.nn as nn
        import torch.nn.functional as F
        from torch.utils.data import DataLoader, TensorDataset
        from torch import optim

        def main():
            torch.manual_seed(0)
            loader = DataLoader(TensorDataset(torch.randn(8, 3), torch.arange(8) % 2), batch_size=4, shuffle=True)
            model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
            optimizer = optim.SGD(model.parameters(), lr=0.1)
            for x, y in loader:
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
            print(sys.argv[1:], torch.__name__, type(model[0].weight.data), __file__ == sys.argv[0])

        if __name__ == "__main__":
            main()
        """
    )
    assert output_of(path, "--lr", "3").strip() == "['--lr', '3'] tiny_torch <class 'torch.Tensor'> True"


def test_the_alias_is_one_package(script):
    path = script(
        """
        import importlib.metadata, importlib.util, sys
        import torch, tiny_torch
        import torch.utils.data as data
        import tiny_torch.utils.data as own
        assert torch is tiny_torch and data is own and sys.modules["torch.utils"] is tiny_torch.utils
        assert importlib.util.find_spec("torch").name == "tiny_torch"
        assert importlib.metadata.version("torch") == torch.__version__ == "2.15.0+tiny"
        import torch.nn.modules.linear as linear
        assert linear.Linear is torch.nn.Linear
        from torch.autograd import Variable, Function
        from torch.optim.lr_scheduler import StepLR
        tiny_torch.install_as_torch()
        print("fine")
        """
    )
    assert output_of(path) == "fine\n"


def test_missing_names_import_and_fail_when_called(script):
    path = script(
        """
        from typing import Optional
        import torch
        import torch.distributed.tensor as dt
        from torch.distributed.fsdp import FullyShardedDataParallel as FSDP
        from torch._inductor import config
        import torch._dynamo
        from torch.fx.experimental import symbolic_shapes

        torch._dynamo.config.cache_size_limit = 3
        config.triton = True

        class Mine(FSDP):
            pass

        def typed(x: Optional[torch.ScriptObject], y: torch.SymInt | None = None) -> "list":
            return []

        assert not isinstance(1, dt.DTensor) and torch.lobpcg is not None
        assert not hasattr(torch, "npu") and not hasattr(torch.nn, "Nonsense")
        for attempt in (lambda: FSDP(1), lambda: Mine(), lambda: dt.distribute_tensor(1), lambda: torch.lobpcg(1)):
            try:
                attempt()
            except NotImplementedError as error:
                assert "tiny_torch does not have it" in str(error), error
            else:
                raise AssertionError("no error")
        for absent in ("torch._six", "torch.nonsense", "torch.nn.nonsense"):
            try:
                __import__(absent)
            except ModuleNotFoundError:
                pass
            else:
                raise AssertionError(absent)
        try:
            torch.ops.load_library("library.so")
        except OSError:
            print("fine")
        """
    )
    assert output_of(path) == "fine\n"


def test_modules_beside_the_script(script):
    script("value = 42", "neighbour.py")
    path = script("import neighbour, torch; print(neighbour.value)")
    assert output_of(path) == "42\n"


def test_exit_status_and_traceback(script):
    path = script("import sys, torch; sys.exit(7)")
    assert run("run", path).returncode == 7
    path = script("import torch\n\ndef f():\n    raise ValueError('mine')\n\nf()\n")
    done = run("run", path)
    assert done.returncode == 1 and "ValueError: mine" in done.stderr and "program.py" in done.stderr
    assert "_launcher" not in done.stderr
    path = script("def broken(:\n")
    done = run("run", path)
    assert done.returncode == 1 and "SyntaxError" in done.stderr
    done = run("run", path.parent / "missing.py")
    assert done.returncode == 2 and "can't open file" in done.stderr and "Traceback" not in done.stderr


def test_module_and_command(script):
    folder = script("import torch, sys; print(torch.__name__, sys.argv[1:], __name__)", "program.py").parent
    done = run("run", "-m", "program", "a", "b", cwd=folder)
    assert done.stdout == "tiny_torch ['a', 'b'] __main__\n", done.stderr
    done = run("run", "-c", "import torch, sys; print(torch.ones(2), sys.argv)", "x")
    assert done.stdout == "tensor([1., 1.]) ['-c', 'x']\n", done.stderr
    assert run("run", "-c").returncode == 2


def test_workers_and_pickles_of_a_program(script):
    path = script(
        """
        import io
        import torch
        from torch.utils.data import DataLoader, Dataset

        class Squares(Dataset):
            def __len__(self):
                return 6
            def __getitem__(self, index):
                return torch.tensor(index * index)

        class Net(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.weight = torch.nn.Parameter(torch.ones(2))

        if __name__ == "__main__":
            print([batch.tolist() for batch in DataLoader(Squares(), 3, num_workers=2)])
            buffer = io.BytesIO()
            torch.save(Net(), buffer)
            assert b"tiny_torch" not in buffer.getvalue()
            buffer.seek(0)
            print(torch.load(buffer, weights_only=False).weight.tolist())
        """
    )
    assert output_of(path) == "[[0, 1, 4], [9, 16, 25]]\n[1.0, 1.0]\n"


def test_installing_after_a_real_torch():
    code = (
        "import sys, types; sys.modules['torch'] = types.ModuleType('torch'); import tiny_torch\n"
        "try: tiny_torch.install_as_torch()\n"
        "except RuntimeError as error: print('refused' if 'imported already' in str(error) else error)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "refused\n"


def test_without_the_launcher_torch_is_not_touched():
    code = "import sys, tiny_torch; print('torch' in sys.modules, any('Torch' in type(f).__name__ for f in sys.meta_path))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False False\n"
