"""How many tokens a text has, about, where nobody counted: a figure of bytes per token that learns per model.

Owns the figure and how it learns. Does not own what is measured (engine/recording.py) nor exact counts, which need a
tokenizer and 100 ms to load one (client/count.py).

A text is measured in bytes, as the data path has them at hand: of the request body for a prompt, of what was said for
a completion. So the JSON around a prompt is in the figure, and each model has one for each of the two. A figure is an
average that forgets (weight 0.2 for the newest report). One report is held to half and twice what is known before it
counts, and to nothing if it cannot be a text's: a picture's bytes are no text, and hidden thoughts are text that is
not there.
"""

from typing import Literal

CHARS_PER_TOKEN = 4
"""Of common English text, until somebody counts.
https://help.openai.com/en/articles/4936856-what-are-tokens-and-how-to-count-them
"""

MAX_RATES = 1000
"""Figures kept, those that learned last: clients make up models."""

What = Literal["prompt", "completion"]

_WEIGHT = 0.2
_FIRST = 3  # reports that count for more: until then the figure is a guess
_LEAST_SIZE = 32  # bytes; of shorter texts what a chat template adds says more than the text
_LEAST, _MOST = 0.5, 16.0  # bytes per token that a text can have, for all that is known of tokenizers


class TokenRates:
    """The figures of one worker."""

    __slots__ = ("_rates",)

    def __init__(self) -> None:
        self._rates: dict[
            tuple[str, What], tuple[float, int]
        ] = {}  # and how many reports are in it, up to _FIRST

    def __repr__(self) -> str:
        return f"<TokenRates {len(self._rates)} figures>"

    def observe(self, model: str, what: What, size: int, tokens: int) -> None:
        """Somebody counted: a text of `size` bytes has so many tokens."""
        if size < _LEAST_SIZE or tokens <= 0 or not _LEAST <= size / tokens <= _MOST:
            return
        rates = self._rates
        key = (model, what)
        rate, reports = rates.pop(key, (float(CHARS_PER_TOKEN), 0))  # it comes back as the youngest
        seen = min(max(size / tokens, rate / 2), rate * 2)
        weight = 1 / (reports + 2) if reports < _FIRST else _WEIGHT
        rates[key] = (rate + weight * (seen - rate), min(reports + 1, _FIRST))
        if len(rates) > MAX_RATES:
            del rates[next(iter(rates))]

    def estimate(self, model: str, what: What, size: int) -> int:
        """About how many tokens a text of `size` bytes has: at least 1 of any text, 0 of none."""
        if size <= 0:
            return 0
        rate, _ = self._rates.get((model, what), (CHARS_PER_TOKEN, 0))
        return max(round(size / rate), 1)
