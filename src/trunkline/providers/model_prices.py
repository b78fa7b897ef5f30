"""What a server's list of models says about prices.

Owns reading them. Does not own lists (model_list.py) nor what a call has cost (policy).

    {"pricing": {"prompt": "0.000003", "completion": "0.000015"}}    OpenRouter: USD per token, as text
    {"pricing": {"input": 3, "output": 15}}                          Together: USD per million tokens
"""

from collections.abc import Mapping
from typing import Any, cast

_PER_TOKEN = ("prompt", "completion")
_PER_MILLION = ("input", "output")
_MILLION = 1e6


def price_of(entry: Mapping[str, Any]) -> float | None:
    """USD for a million tokens of the prompt and a million of the answer; None if the entry does not say."""
    pricing = entry.get("pricing")
    if not isinstance(pricing, dict):
        return None
    said = cast("Mapping[str, Any]", pricing)
    for names, factor in ((_PER_TOKEN, _MILLION), (_PER_MILLION, 1.0)):
        numbers = [_number(said.get(name)) for name in names]
        if None not in numbers:
            return sum(cast("list[float]", numbers)) * factor
    return None


def _number(value: Any) -> float | None:
    """A price; -1 means "it depends" (OpenRouter's auto)."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if 0 <= number < float("inf") else None
