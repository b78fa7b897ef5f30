import re

import msgspec
import pytest
from bench.gateways import IN_BARS, STRATEGIES, routing_row, targets_row
from bench.report import render
from bench.settings import DIRECT, MEASURES, Results, Sample, Settings

COSTS = {"nginx": 10.0, "vllm-router": 40.0, "litellm": 9000.0, "trunkline": 30.0}


def canned() -> Results:
    """A run in which Trunkline takes 3 x nginx's CPU everywhere, except that it meets the other bars."""
    results = Results(
        date="2030-01-01 00:00 UTC",
        machine="a machine",
        settings=Settings(),
        versions={name: f"{name} 1.0" for name in COSTS},
        problems=["churn, litellm: it\n  broke"],
    )

    def add(measure: str, gateway: str, **values: float) -> None:
        for number in range(3):
            results.samples.append(Sample(measure=measure, gateway=gateway, round=number, values=values))

    for measure in ("requests", "heads", "streams", "events", "thoughts", "churn"):
        add(measure, DIRECT, per_second=200_000.0, reads_per_second=60_000.0)
        for name, cost in COSTS.items():
            add(
                measure,
                name,
                cpu_us=cost,
                per_second=1e6 / cost,
                gateway_busy=0.99,
                load_busy=0.2,
                reads_per_second=1e6 / cost,
            )
    for measure in ("latency", "bodies"):
        add(measure, DIRECT, p50_ms=0.1, p99_ms=0.2, rate=500.0)
        for name in COSTS:
            add(measure, name, p50_ms=0.2, p99_ms=2.7, rate=500.0)
    for count, cost in ((2, 30.0), (1000, 36.0)):
        add("routing", routing_row(count).name, cpu_us=cost, per_second=1e6 / cost)
        for strategy in STRATEGIES:
            add("targets", targets_row(count, strategy).name, cpu_us=cost, per_second=1e6 / cost)
    for name in COSTS:
        add("memory", name, idle_mb=44.0, open_mb=74.0, streams=5000.0, kb_per_stream=6.0)
        add("start", name, accept_s=0.3, answer_s=0.4)
    add("command", "trunkline", import_ms=10.0, version_ms=20.0)
    return results


def bar_lines(page: str) -> dict[tuple[str, str], list[str]]:
    """The lines of the first table, by what they measure and in which unit."""
    section = page.partition("## Bars")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in section.strip().splitlines()[2:]
    ]
    return {(row[0], row[2].partition(" ")[2].partition(" ")[2]): row for row in rows}


def test_the_page_says_of_every_bar_whether_it_is_met() -> None:
    lines = bar_lines(render(canned()))
    missed = {
        ("CPU per request", "x nginx"): "**missed** by 0.50 x nginx (20 %)",
        ("CPU per request, heads never seen before", "x nginx"): "**missed** by 0.50 x nginx (20 %)",
        ("CPU per streamed chunk", "x nginx"): "**missed** by 1.70 x nginx (131 %)",
        ("CPU per streamed chunk, every event decoded", "x nginx"): "**missed** by 1.70 x nginx (131 %)",
        ("CPU per streamed chunk, think filter on", "x nginx"): "**missed** by 1.20 x nginx (67 %)",
        ("added latency, p99", "ms"): "**missed** by 0.500 ms (25 %)",
        ("added latency, p99, bodies of 100 KB", "ms"): "**missed** by 0.500 ms (25 %)",
    }
    assert {what: row[3] for what, row in lines.items() if row[3] != "met"} == missed
    assert len(lines) == 20
    assert lines["CPU per request", "x vllm-router"][1] == "0.75 x vllm-router"
    assert lines["CPU per request, 1,000 backends", "x 2 backends"][1] == "1.20 x 2 backends"
    for strategy in STRATEGIES:
        few = f"x 2 targets, {strategy}"
        assert lines[f"CPU per request, 1,000 targets, {strategy}", few][1] == f"1.20 {few}"
    assert lines["memory, 5,000 open streams", "MB"][1] == "74.0 MB"


def test_every_table_has_as_many_cells_in_each_line() -> None:
    page = render(canned())
    for table in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        assert len({line.count(" | ") for line in table.splitlines()}) == 1, table
    assert page.count("| trunkline |") >= 7


def test_the_rarer_measures_show_the_gateways_of_the_bars_only() -> None:
    section = render(canned()).partition("## Cost where nothing repeats")[2].partition("\n## ")[0]
    assert [name for name in COSTS if f"| {name} |" in section] == list(IN_BARS)


def test_problems_are_on_the_page() -> None:
    assert "- churn, litellm: it broke\n" in render(canned())


def test_a_rate_that_the_gateway_did_not_limit_is_marked() -> None:
    results = canned()
    results.samples = [
        Sample(
            measure=sample.measure,
            gateway=sample.gateway,
            round=sample.round,
            values=sample.values | {"gateway_busy": 0.5},
        )
        for sample in results.samples
    ]
    assert ">= 100,000" in render(results)
    assert ">= 100,000" not in render(canned())


def test_a_run_of_nothing_still_makes_a_page() -> None:
    page = render(Results(date="", machine="", settings=Settings(), versions={"trunkline": "1"}))
    assert {row[3] for row in bar_lines(page).values()} == {"not measured"}
    assert "## Problems" not in page


def test_results_survive_the_disk() -> None:
    results = canned()
    assert render(msgspec.json.decode(msgspec.json.encode(results), type=Results)) == render(results)


@pytest.mark.parametrize("measure", MEASURES)
def test_every_measure_is_on_the_page(measure: str) -> None:
    whole, without = canned(), canned()
    without.samples = [sample for sample in without.samples if sample.measure != measure]
    assert render(without) != render(whole)


def test_disturbed_samples_are_counted() -> None:
    results = canned()
    results.samples[:3] = [msgspec.structs.replace(sample, others=0.8) for sample in results.samples[:3]]
    assert "more than 0.15 in 3 of them" in render(results)
