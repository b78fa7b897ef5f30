"""`trunkline count`: how many tokens a text or a request has, counted here and without a network."""

import sys
from typing import Any, NoReturn, cast

import click


@click.command()
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--model", metavar="NAME", default="", help="Whose tokens. Default: the request's own model.")
@click.option(
    "--request", is_flag=True, help="FILE is a JSON request, or a list of messages, instead of a text."
)
@click.option("--json", is_flag=True, help="Print one JSON object.")
def count(file: Any, model: str, request: bool, json: bool) -> None:
    """Count the tokens of a text, or of a request's prompt; without FILE of what is typed or piped in."""
    import msgspec  # noqa: PLC0415 - loaded by this verb only

    from trunkline.client.count import UncountableError, measure, measure_request  # noqa: PLC0415 - half a second
    from trunkline.client.encodings import DamagedRanksError  # noqa: PLC0415 - likewise

    raw: bytes = file.read()
    name = getattr(file, "name", "<stdin>")  # who calls this as a function may give it any stream
    try:
        if request:
            value = msgspec.json.decode(raw)
            asked = cast("dict[str, Any]", value) if isinstance(value, dict) else {"messages": value}
            found = measure_request(asked, model)
        else:
            found = measure(raw.decode(), model)
    except (msgspec.DecodeError, UncountableError) as error:
        _fail(f"{name} is no request: {error}")
    except RecursionError:
        _fail(f"{name} is no request: it is nested too deeply")
    except UnicodeDecodeError as error:
        _fail(f"{name} is no text: byte {error.start} is not UTF-8")
    except DamagedRanksError as error:
        _fail(str(error))
    if json:
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        print(f"{found.tokens} token{'' if found.tokens == 1 else 's'} ({found.encoding})")
        for note in found.notes:
            print(f"note: {note}")


def _fail(text: str) -> NoReturn:
    print(text, file=sys.stderr)
    sys.exit(1)
