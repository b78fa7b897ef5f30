"""`trunkline explain`: why a call of a running gateway went where it went, or what would happen to a request."""

import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from trunkline.cli.serve import config_option

PATIENCE = 15.0
"""Seconds for an answer of the admin port: it computes for milliseconds, but a router may be asked."""


@click.command()
@click.argument("request_id", required=False)
@click.option(
    "--request", type=click.File("rb"), metavar="FILE", help="Tell what would happen to this one; - reads it."
)
@click.option("--path", default="/v1/chat/completions", help="With --request: where it would be sent.")
@click.option("--key", metavar="NAME", help="With --request: the name of the key that would send it.")
@click.option("--backend", metavar="NAME", help="With --request: the backend that it would ask for.")
@click.option("--admin", metavar="URL", help="The gateway's admin port. Default: as configured.")
@config_option
@click.option("--json", is_flag=True, help="Print the JSON object that the gateway sent.")
def explain(
    request_id: str | None,
    request: Any,
    path: str,
    key: str | None,
    backend: str | None,
    admin: str | None,
    config: Path | None,
    json: bool,
) -> None:
    """Tell why a call went where it went: the one of this id (x-request-id), or the last one."""
    from urllib.parse import quote  # noqa: PLC0415 - loaded by this verb only

    from trunkline.cli import explain_page  # noqa: PLC0415 - likewise

    if request is not None and request_id is not None:
        raise click.UsageError("either REQUEST_ID or --request")
    base = (admin or _configured(config)).rstrip("/")
    if "://" not in base:
        base = f"http://{base}"
    try:
        if request is not None:
            headers = {"x-trunkline-key": key, "x-trunkline-backend": backend}
            chosen = {name: value for name, value in headers.items() if value is not None}
            found = _ask(f"{base}/explain?path={quote(path, safe='')}", request.read(), chosen)
            lines = explain_page.request_lines(found)
        else:
            found = _ask(f"{base}/calls/{quote(request_id or _last(base), safe='')}")
            lines = explain_page.call_lines(found)
    except (KeyError, TypeError):
        _fail(f"{base} is not the admin port of a gateway of this version")
    if json:
        import msgspec  # noqa: PLC0415 - likewise

        print(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        print("\n".join(lines))


def _last(base: str) -> str:
    """The id of the last call."""
    calls = _ask(f"{base}/calls?limit=1")["calls"]
    if not calls:
        _fail("the gateway has answered no call yet")
    return str(calls[0]["id"])


def _configured(config: Path | None) -> str:
    """The admin port of the configuration. One that cannot be read stops nobody: variables may be set elsewhere."""
    from trunkline.config.load import discover, load  # noqa: PLC0415 - loaded by this verb only
    from trunkline.config.model import AdminSettings  # noqa: PLC0415 - likewise
    from trunkline.errors import ConfigError  # noqa: PLC0415 - likewise

    settings = AdminSettings()
    try:
        settings = load(config or discover(Path()), os.environ).settings.admin
    except ConfigError as error:
        first = str(error).partition("\n")[0]
        if config is not None:
            _fail(f"{first}\nor name the gateway's admin port with --admin", code=2)
        print(
            f"note: the configuration cannot be read, so this is the default port ({first})", file=sys.stderr
        )
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{settings.port}"


def _ask(url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> dict[str, Any]:
    """The answer of the admin port; ends the program where there is none."""
    from http.client import HTTPException  # noqa: PLC0415 - loaded by this verb only
    from urllib.error import HTTPError, URLError  # noqa: PLC0415 - likewise
    from urllib.request import ProxyHandler, Request, build_opener  # noqa: PLC0415 - likewise

    import msgspec  # noqa: PLC0415 - likewise

    place = url.partition("?")[0]
    try:
        asked = Request(url, body, {"content-type": "application/json", **(headers or {})})  # noqa: S310 - below
        if asked.type not in ("http", "https"):
            raise ValueError(f"{asked.type} is not http")
        # Without the proxies of the environment: the admin port is on this machine.
        with build_opener(ProxyHandler({})).open(asked, timeout=PATIENCE) as answer:
            found = msgspec.json.decode(answer.read(), type=dict[str, Any])
    except HTTPError as error:
        with error:
            _fail(_message(error.read()) or f"{place}: {error}")
    except (URLError, OSError, HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        _fail(f"no gateway answers at {place}: {reason}\nwhere its admin port is: --admin URL")
    except (ValueError, msgspec.DecodeError) as error:
        _fail(f"{place}: no answer of a gateway's admin port: {error}")
    return found


def _message(body: bytes) -> str:
    import msgspec  # noqa: PLC0415 - loaded by this verb only

    try:
        return str(msgspec.json.decode(body)["error"]["message"])
    except (msgspec.DecodeError, KeyError, TypeError, IndexError):
        return ""


def _fail(text: str, code: int = 1) -> NoReturn:
    print(text, file=sys.stderr)
    sys.exit(code)
