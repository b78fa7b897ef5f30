"""`trunkline serve`: the gateway, in the foreground."""

import os
import sys
from functools import partial
from pathlib import Path

import click

config_option = click.option(
    "--config",
    "-c",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Default: ./trunkline.yaml, else ./config.yaml, else the environment.",
)


@click.command()
@config_option
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0: a free one.")
@click.option("--insecure-open", is_flag=True, help="Listen on a network address without any key.")
def serve(config: Path | None, host: str | None, port: int | None, insecure_open: bool) -> None:
    """Serve the OpenAI API in front of the configured backends."""
    from trunkline.config.addresses import may_listen  # noqa: PLC0415 - loaded by this verb only
    from trunkline.config.load import discover, load  # noqa: PLC0415 - likewise
    from trunkline.errors import ConfigError  # noqa: PLC0415 - likewise
    from trunkline.gateway import app  # noqa: PLC0415 - likewise
    from trunkline.gateway.reload import Source  # noqa: PLC0415 - likewise

    try:
        path = config or discover(Path())
        read = partial(load, path, os.environ, {"server.host": host, "server.port": port})
        loaded = read()
        may_listen(loaded.settings, insecure_open)
        for warning in loaded.warnings:
            print(f"warning: {warning}", file=sys.stderr, flush=True)
        source = Source(read=read, path=path, insecure_open=insecure_open, warned=loaded.warnings)
        code = app.serve(loaded.settings, announce=_announce, source=source)
    except ConfigError as error:
        print(error, file=sys.stderr)
        code = 2
    sys.exit(code)


def _announce(line: str) -> None:
    """Say it now: whoever waits for the ready line reads a pipe."""
    print(line, flush=True)
