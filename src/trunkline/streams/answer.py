"""What the operator wants of an answer.

Owns the value alone. How streams are rewritten is in rewrite.py, how whole answers are in whole.py; which settings it
comes from is the engine's.
"""

from typing import Literal, TypeAlias

import msgspec

from trunkline.streams.think import ThinkSettings

Reasoning: TypeAlias = Literal["keep", "strip", "wrap", "reasoning_content", "reasoning"]


class AnswerSettings(msgspec.Struct, frozen=True, gc=False):
    """What is done with the answers of one attempt.

    `think` None: thoughts in the text stay where they are. `reasoning`: what becomes of thoughts that have a field of
    their own; one of the two names is what that field is called then. `model`: what the answer says that it is of;
    "" as the upstream says.
    """

    think: ThinkSettings | None = None
    reasoning: Reasoning = "keep"
    model: str = ""


AS_IT_IS = AnswerSettings()
