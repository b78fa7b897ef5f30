"""`trunkline serve`: the gateway, in the foreground."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="Default: ./trunkline.yaml, else ./config.yaml, else the environment.",
    ),
]


def serve(
    config: ConfigOption = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen on; 0: a free one.")
    ] = None,
    insecure_open: Annotated[
        bool, typer.Option("--insecure-open", help="Listen on a network address without any key.")
    ] = False,
) -> None:
    """Serve the OpenAI API in front of the configured backends."""
    from trunkline.config.addresses import may_listen  # noqa: PLC0415 - loaded by this verb only
    from trunkline.config.load import discover, load  # noqa: PLC0415 - likewise
    from trunkline.errors import ConfigError  # noqa: PLC0415 - likewise
    from trunkline.gateway import app  # noqa: PLC0415 - likewise

    try:
        loaded = load(config or discover(Path()), os.environ, {"server.host": host, "server.port": port})
        line = may_listen(loaded.settings, insecure_open)
        for warning in loaded.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        if line is not None:
            print(line, file=sys.stderr, flush=True)
        code = app.serve(loaded.settings, announce=_announce)
    except ConfigError as error:
        print(error, file=sys.stderr)
        code = 2
    raise typer.Exit(code)


def _announce(line: str) -> None:
    """Say it now: whoever waits for the ready line reads a pipe."""
    print(line, flush=True)
