"""`trunkline sim`: the simulated upstream, in the foreground."""

import sys

import click


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), required=True, help="Port to listen on; 0 picks a free one."
)
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--seed", default=0, help="Decides texts, vectors and dice.")
def sim(port: int, host: str, seed: int) -> None:
    """Run an OpenAI-compatible upstream with deterministic answers and faults on request."""
    from trunkline.simulator.app import run  # noqa: PLC0415 - loaded by this verb only

    try:
        run(host, port, seed=seed, announce=_announce)
    except OSError as error:
        print(f"cannot listen on {host}:{port}: {error.strerror}", file=sys.stderr)
        sys.exit(1)


def _announce(line: str) -> None:
    """Say it now: whoever waits for the ready line reads a pipe."""
    print(line, flush=True)
