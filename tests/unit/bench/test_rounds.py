from collections.abc import Iterable
from pathlib import Path

import pytest
from bench import rounds
from bench.process import BenchError
from bench.rounds import Rounds
from bench.settings import Results, Settings


class Machine:
    """A clock that stands while nobody waits, and neighbours whose use of the cores is known beforehand."""

    def __init__(self, others: Iterable[float]) -> None:
        self.now = 0.0
        self.left = iter(others)

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def watch(self, cores: Iterable[int]) -> "Machine":
        return self

    def others(self) -> float:
        return next(self.left)


def sample(
    monkeypatch: pytest.MonkeyPatch, others: list[float], patience: float, seconds: float = 3.0
) -> Results:
    """Take one sample, each attempt of which lasts so long; its value is the number of the attempt.

    `others`: what the neighbours use during each attempt, and during each look at the machine between them.
    """
    machine = Machine(others)
    monkeypatch.setattr(rounds, "time", machine)
    monkeypatch.setattr(rounds, "Watch", machine.watch)
    results = Results(date="", machine="", settings=Settings(patience=patience), versions={})
    attempts: list[float] = []

    def measured() -> dict[str, float]:
        machine.sleep(seconds)
        attempts.append(1.0)
        return {"attempt": float(len(attempts))}

    Rounds(results, [], Path())._note("requests", "nginx", 0, measured)
    assert list(machine.left) == []
    return results


@pytest.mark.parametrize(
    ("others", "patience", "attempt", "least"),
    [
        pytest.param([0.9], 0, 1, 0.9, id="without patience the first one counts"),
        pytest.param([0.1], 600, 1, 0.1, id="quiet at once"),
        pytest.param([0.9, 0.8, 0.0, 0.1], 600, 2, 0.1, id="after a quiet look"),
        pytest.param([0.9, 0.0, 0.8, 0.0, 0.1], 600, 3, 0.1, id="as often as it takes"),
        pytest.param([0.5, 0.9], 3, 1, 0.5, id="the quietest of all when patience ends"),
        pytest.param([0.5, 0.9, 0.8, 0.4], 5, 2, 0.4, id="once more when patience ends in waiting"),
    ],
)
def test_a_disturbed_sample_is_taken_again(
    monkeypatch: pytest.MonkeyPatch, others: list[float], patience: float, attempt: float, least: float
) -> None:
    [taken] = sample(monkeypatch, others, patience).samples
    assert (taken.values, taken.others) == ({"attempt": attempt}, least)


def test_what_is_too_short_to_tell_is_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    [taken] = sample(monkeypatch, [0.9], 600, seconds=0.2).samples
    assert taken.others == 0.9


def test_a_measurement_that_fails_is_a_problem_and_no_sample() -> None:
    results = Results(date="", machine="", settings=Settings(), versions={})

    def broken() -> dict[str, float]:
        raise BenchError("no answer")

    Rounds(results, [], Path())._note("requests", "nginx", 0, broken)
    assert (results.samples, results.problems) == ([], ["requests, nginx: no answer"])
