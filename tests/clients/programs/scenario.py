"""What every client program is: scenarios by name, one line of JSON for each that was asked for.

    python with_NAME.py '{"url": ..., "key": ..., "asks": [{"scenario": "stream", "model": "sim-small"}, ...]}'

A scenario has its client do what a user would, with nothing set but address, key and model, and tells facts. What it
raises is told too. Which facts are right is the business of the tests and not of the programs: those run in an
environment that has the client and nothing else.
"""

import asyncio
import json
import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

QUESTION = "Say hi."
GIVEN: dict[str, Any] = json.loads(sys.argv[1])
URL: str = GIVEN["url"]
KEY: str = GIVEN["key"]

Facts = dict[str, Any]
Scenario = Callable[[str], Facts | Awaitable[Facts]]


def facts(pieces: list[str], finish: str | None = None, **more: Any) -> Facts:
    """What is told of one text: itself, in how many pieces it came, how it ended."""
    return {"text": "".join(pieces), "pieces": len(pieces), "finish": finish} | more


def called(*calls: tuple[str, Any], finish: str | None = None, **more: Any) -> Facts:
    """What is told of calls of tools: names and arguments."""
    return {"calls": [{"name": name, "arguments": given} for name, given in calls], "finish": finish} | more


def main(*scenarios: Scenario) -> None:
    """Run what is asked for, in that order."""
    by_name = {scenario.__name__: scenario for scenario in scenarios}
    # One loop for all: some clients keep their connections for the next call, and those belong to a loop.
    with asyncio.Runner() as runner:
        for ask in GIVEN["asks"]:
            print(json.dumps(_line(runner, by_name[ask["scenario"]], ask["model"])), flush=True)


def _line(runner: asyncio.Runner, scenario: Scenario, model: str) -> dict[str, Any]:
    try:
        told = scenario(model)
        return {"facts": told if isinstance(told, dict) else runner.run(_awaited(told))}
    except Exception as error:  # noqa: BLE001  (whatever it is, the tests are told)
        return {"raised": _kinds(error), "says": str(error), "traceback": traceback.format_exc()}


def _kinds(error: BaseException) -> list[str]:
    """The names by which the exception and its causes can be caught."""
    names = [kind.__name__ for kind in type(error).__mro__]
    return [*names, *_kinds(error.__cause__)] if error.__cause__ is not None else names


async def _awaited(told: Awaitable[Facts]) -> Facts:
    return await told
