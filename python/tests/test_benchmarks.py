"""What the benchmarks make of figures; no figure is taken here."""
import importlib.util
import os

import pytest

BENCHMARKS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "benchmarks")


@pytest.fixture
def harness(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    spec = importlib.util.spec_from_file_location("harness", os.path.join(BENCHMARKS, "harness.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_ratio_is_of_the_fastest_peer_turn_by_turn(harness):
    peers = {"torch": [9.0, 9.0, 9.0], "JAX": [2.0, 4.0, 12.0]}
    row = harness.ratio_row([1.0, 2.0, 4.0], peers, {"Inductor": "not installed"})
    assert row["best"] == "JAX" and row["ratio"] == 2.0 and row["turns"] == 3
    assert row["peers"] == {"torch": 9.0, "JAX": 4.0, "Inductor": "not installed"}
    assert "(target 1.3)" in harness.line("x", {**row, "difference": 0.0}, 1.3)


@pytest.mark.parametrize(
    "ours, peers, notes, says",
    [
        ([], {"torch": [1.0]}, {"ours": "exit code -11"}, "ours: exit code -11"),
        ([1.0], {}, {"torch": "not installed"}, "no peer ran: torch: not installed"),
    ],
)
def test_where_nothing_is_to_compare_a_row_says_why(harness, ours, peers, notes, says):
    row = harness.ratio_row(ours, peers, notes)
    assert row["note"] == says and "ratio" not in row and says in harness.line("x", row)


def test_a_row_says_that_the_machine_had_other_work(harness):
    assert harness.busy({"others": 0.4}) == " [others took 40% of the machine]"
    assert harness.busy({"others": 0.01}) == harness.busy({"others": None}) == harness.busy({}) == ""
    assert 0 <= harness.Others([os.getpid()]).share() <= 1


def test_numbers_that_are_none_differ(harness):
    assert harness.difference([1.0, float("nan")], [1.0, 1.0]) == float("inf")
    assert harness.difference([1.0], [1.0, 1.0]) == float("inf")
    assert harness.difference([1e-6], [2e-6]) == pytest.approx(1e-3)


def test_a_peer_that_is_missing_is_a_note(harness, monkeypatch):
    monkeypatch.setitem(harness.PACKAGES, "JAX", "a_package_that_is_not_there")
    with harness.Team(["JAX"], 1) as team:
        assert team.notes == {"JAX": "not installed"} and team.ask("run", 1) == {}


def test_a_worker_that_fails_says_why_in_its_answer(harness, monkeypatch, tmp_path):
    monkeypatch.setattr(harness, "KEPT", str(tmp_path))
    with harness.Team(["ours"], 1) as team:
        assert team.ask("set up", "no such workload") == {}
        assert "KeyError" in team.notes["ours"]
