"""How long an upstream may be silent; DESIGN section 4, `timeouts`.

Owns the two limits that depend on the request and the model. Does not own when they are looked at (deadlines.py).
"""

from trunkline.engine.upstream import Upstream
from trunkline.policy.tokens import CHARS_PER_TOKEN
from trunkline.routing.backend import TimeoutSettings
from trunkline.routing.target import Target
from trunkline.wire.values import Call

AUTO_FIRST_TOKEN = 10.0
AUTO_PATIENT_FIRST_TOKEN = 120.0
"""Of a local server, which may be loading the model, and of a model that thinks first."""
REASONING_IDLE = 120.0
"""Of a model that thinks, where nothing else is configured: some say nothing while they do."""
_IDLE = TimeoutSettings().idle


def first_token(upstream: Upstream, target: Target, call: Call) -> float:
    """Seconds that a backend gets for the first content of a stream."""
    configured = upstream.settings.timeouts.first_token
    if configured != "auto":
        return configured
    seconds = AUTO_FIRST_TOKEN + len(call.body) / CHARS_PER_TOKEN / 1000
    patient = upstream.local or target.abilities.reasoning
    return max(seconds, AUTO_PATIENT_FIRST_TOKEN) if patient else seconds


def idle(upstream: Upstream, target: Target) -> float:
    """Seconds that may pass between two events."""
    configured = upstream.settings.timeouts.idle
    return REASONING_IDLE if configured == _IDLE and target.abilities.reasoning else configured
