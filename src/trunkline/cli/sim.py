"""`trunkline sim`: the simulated upstream, in the foreground."""

import sys
from typing import Annotated

import typer


def sim(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    seed: Annotated[int, typer.Option(help="Decides texts, vectors and dice.")] = 0,
) -> None:
    """Run an OpenAI-compatible upstream with deterministic answers and faults on request."""
    from trunkline.simulator.app import run  # noqa: PLC0415 - loaded by this verb only

    try:
        run(host, port, seed=seed, announce=_announce)
    except OSError as error:
        print(f"cannot listen on {host}:{port}: {error.strerror}", file=sys.stderr)
        raise typer.Exit(1) from None


def _announce(line: str) -> None:
    """Say it now: whoever waits for the ready line reads a pipe."""
    print(line, flush=True)
