"""The bars: what Trunkline may cost at most, and whether it does.

The same bar holds for a measure and for its harder variants: heads never seen before, every event decoded, long
bodies.
"""

from dataclasses import dataclass

from bench.figures import Figures
from bench.gateways import STRATEGIES, routing_row, targets_row
from bench.settings import Settings

OURS = "trunkline"


@dataclass(frozen=True)
class Bar:
    """One line of the list."""

    what: str
    value: float | None
    most: float
    digits: int
    unit: str

    def verdict(self) -> str:
        """Return whether the bar is met, and if not by how much it is missed."""
        if self.value is None:
            return "not measured"
        if self.value <= self.most:
            return "met"
        over = self.value - self.most
        return f"**missed** by {over:.{self.digits}f} {self.unit} ({over / self.most * 100:.0f} %)"


def bars(figures: Figures, settings: Settings) -> list[Bar]:
    """Return all bars with what was measured."""

    def cpu(measure: str, other: str) -> float | None:
        return figures.ratio(measure, OURS, other)

    few, many = routing_row(2).name, routing_row(settings.backends).name
    pools = [
        (targets_row(2, strategy).name, targets_row(settings.backends, strategy).name)
        for strategy in STRATEGIES
    ]
    unseen, decoded = (
        "CPU per request, heads never seen before",
        "CPU per streamed chunk, every event decoded",
    )
    long = f"bodies of {settings.body_bytes / 1000:g} KB"
    return [
        Bar("CPU per request", cpu("requests", "vllm-router"), 1.0, 2, "x vllm-router"),
        Bar("CPU per request", cpu("requests", "nginx"), 2.5, 2, "x nginx"),
        Bar(unseen, cpu("heads", "vllm-router"), 1.0, 2, "x vllm-router"),
        Bar(unseen, cpu("heads", "nginx"), 2.5, 2, "x nginx"),
        Bar("CPU per streamed chunk", cpu("streams", "nginx"), 1.3, 2, "x nginx"),
        Bar("CPU per streamed chunk, think filter on", cpu("thoughts", "nginx"), 1.8, 2, "x nginx"),
        Bar(decoded, cpu("events", "nginx"), 1.3, 2, "x nginx"),
        Bar("added latency, p50", figures.added("latency", OURS, "p50_ms"), 0.3, 3, "ms"),
        Bar("added latency, p99", figures.added("latency", OURS, "p99_ms"), 2.0, 3, "ms"),
        Bar(f"added latency, p50, {long}", figures.added("bodies", OURS, "p50_ms"), 0.3, 3, "ms"),
        Bar(f"added latency, p99, {long}", figures.added("bodies", OURS, "p99_ms"), 2.0, 3, "ms"),
        Bar(f"CPU per request, {many}", figures.ratio("routing", many, few), 1.5, 2, f"x {few}"),
        *(
            Bar(f"CPU per request, {crowd}", figures.ratio("targets", crowd, pair), 1.5, 2, f"x {pair}")
            for pair, crowd in pools
        ),
        Bar("memory, idle", figures.median("memory", OURS, "idle_mb"), 45.0, 1, "MB"),
        Bar("memory, 5,000 open streams", figures.open_mb(OURS, 5000), 250.0, 1, "MB"),
        Bar("start until it accepts", figures.median("start", OURS, "accept_s"), 0.5, 3, "s"),
        Bar("`import trunkline`", figures.median("command", OURS, "import_ms"), 150.0, 0, "ms"),
        Bar("`trunkline --version`", figures.median("command", OURS, "version_ms"), 200.0, 0, "ms"),
    ]
