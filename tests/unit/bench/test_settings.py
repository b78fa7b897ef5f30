import pytest
from bench.process import BenchError
from bench.settings import Results, Sample, Settings, join


def results(date: str, *measures: str, machine: str = "m", problems: list[str] | None = None) -> Results:
    samples = [Sample(measure=name, gateway="nginx", round=0, values={date: 1.0}) for name in measures]
    return Results(
        date=date,
        machine=machine,
        settings=Settings(),
        versions={"nginx": "1"},
        samples=samples,
        problems=problems or [],
    )


def test_what_was_measured_again_replaces_the_old() -> None:
    old = results(
        "monday", "requests", "start", "command", problems=["start, nginx: late", "churn, nginx: broke"]
    )
    new = results("tuesday", "start", "command", problems=["start, nginx: dead"])
    joined = join(old, new, ["start"])
    assert [(sample.measure, *sample.values) for sample in joined.samples] == [
        ("requests", "monday"),
        ("start", "tuesday"),
        ("command", "tuesday"),
    ]
    assert joined.problems == ["churn, nginx: broke", "start, nginx: dead"]
    assert joined.date == "monday; start: tuesday"


def test_runs_of_two_machines_are_not_joined() -> None:
    with pytest.raises(BenchError, match="another machine"):
        join(results("monday", "requests", machine="other"), results("tuesday", "start"), ["start"])
