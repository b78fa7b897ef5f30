"""Deterministic texts: the same question gives the same answer, in every process.

Owns the simulated model: its words, its counting of tokens, its vectors. A token is a word. Nothing here is random:
everything follows from a digest of the seed, the model's plain name and the question.
"""

import hashlib
import math
import struct
from random import Random

# fmt: off
_WORDS = [
    "amber", "anchor", "autumn", "basin", "beacon", "birch", "blue", "breeze", "bridge", "bright",
    "brook", "calm", "canyon", "cedar", "circle", "clear", "cliff", "cloud", "copper", "coral", "cove",
    "crest", "dawn", "delta", "distant", "drift", "dune", "early", "east", "echo", "ember", "even",
    "far", "fern", "field", "first", "flint", "fog", "forest", "garden", "gentle", "glass", "gold",
    "grain", "granite", "green", "grove", "harbor", "hazel", "high", "hill", "hollow", "iron", "island",
    "ivory", "juniper", "kind", "lake", "lantern", "late", "leaf", "light", "lily", "long", "low",
    "maple", "marble", "meadow", "mild", "mist", "moon", "moss", "north", "oak", "ocean", "olive",
    "open", "orchard", "over", "path", "pearl", "pebble", "pine", "plain", "quiet", "quill", "rain",
    "reed", "ridge", "river", "root", "rose", "sand", "shade", "shore", "silver", "sky", "slate",
    "slow", "small", "snow", "soft", "south", "spring", "spruce", "stone", "stream", "summit", "sun",
    "tall", "thaw", "tide", "timber", "under", "vale", "warm", "west", "willow", "wind", "winter",
    "wood", "young",
]
# fmt: on


def digest(*parts: object) -> str:
    """32 hex digits that depend on every part."""
    return hashlib.blake2b(
        "\0".join(map(str, parts)).encode("utf-8", "surrogatepass"), digest_size=16
    ).hexdigest()


def words(key: str, number: int | None = None) -> list[str]:
    """A sentence as pieces to be joined: `number` words, or 8 to 24 as the key decides."""
    rng = Random(key)
    picked = rng.choices(_WORDS, k=number or 8 + rng.randrange(17))
    picked[0] = picked[0].capitalize()
    picked[-1] += "."
    return [picked[0], *(f" {word}" for word in picked[1:])]


def fragments(text: str) -> list[str]:
    """A given text in pieces of 8 characters: enough of them to be worth testing, and blind for what they cut."""
    return [text[at : at + 8] for at in range(0, len(text), 8)]


def count(text: str) -> int:
    """Tokens of a text: its words."""
    return len(text.split())


def vector(key: str, dimensions: int) -> list[float]:
    """A unit vector whose numbers are exact in single precision, so that both encodings carry the same values."""
    rng = Random(key)
    raw = [rng.uniform(-1, 1) for _ in range(dimensions)]
    norm = math.sqrt(sum(value * value for value in raw)) or 1.0
    return list(
        struct.unpack(f"<{dimensions}f", struct.pack(f"<{dimensions}f", *(value / norm for value in raw)))
    )
