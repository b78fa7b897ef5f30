"""What happened to a call, in words for whoever is on duty.

Owns the sentences. Does not own the facts in them (explain.py, explain_request.py).
"""

from collections.abc import Sequence

from trunkline.routing.models import Strategy

FAULTS = {
    "invalid_json": "the request body is not valid JSON",
    "invalid_request": "the request is not valid",
    "bad_framing": "the request's framing is wrong",
    "invalid_key": "no key, or a wrong one",
    "model_not_allowed": "the key may not do this",
    "origin_not_allowed": "requests of this origin, or to this host name, are not taken",
    "model_unknown": "no backend has this model",
    "not_found": "there is nothing at this path",
    "method_not_allowed": "the method is not possible there",
    "slow_request": "the request's body came too slowly",
    "body_too_large": "the request's body is too large",
    "head_too_large": "the request's head is too large",
    "context_overflow": "the request is longer than the model's window",
    "max_tokens_too_large": "the answer's limit is more than the model gives",
    "content_filter": "the upstream's content filter refused it",
    "refused_by_upstream": "the upstream refused the request as wrong",
    "model_not_found": "the upstream does not have this model",
    "auth": "the upstream refused the gateway's key",
    "permission": "the gateway's key may not do this at the upstream",
    "quota": "the account at the upstream is empty or over its quota",
    "rate_limit": "the upstream refused it: too many requests",
    "overloaded": "the upstream is overloaded",
    "server_error": "the upstream failed",
    "timeout": "the upstream's own time was over",
    "error_in_stream": "an error came in the stream",
    "error_in_200": "an error came with status 200",
    "dns": "the upstream's name was not found",
    "egress": "the upstream's address may not be called",
    "connect": "no connection to the upstream",
    "proxy": "no way through the proxy",
    "tls": "no TLS connection to the upstream",
    "connect_timeout": "no connection in time",
    "first_token_timeout": "no content came in time",
    "idle_timeout": "the stream stood still for too long",
    "total_timeout": "the call's time was over",
    "stale_connection": "a kept connection had been closed by the upstream",
    "reset": "the upstream closed the connection without an answer",
    "cut": "the answer was cut off",
    "incomplete_stream": "the stream ended before its end",
    "empty_stream": "the stream ended without anything in it",
    "malformed": "the answer is not what an OpenAI server sends",
    "diverged": "the second answer differs from what the client had",
    "unfit": "the backend does not take such a request",
    "pool_full": "all connections to the backend were in use",
    "no_backend": "no backend could take the call",
    "gateway_full": "the gateway is full",
    "shutting_down": "the gateway was shutting down",
    "internal": "the gateway itself failed",
    "client_gone": "the client left",
}
"""By name of a fault's kind."""

AGAINST = {
    "slow": "slow: its 95th percentile is over the limit",
    "busy": "busy: it refused for load, and its time is not over",
    "ejected": "ejected: its breaker is open",
    "probing": "half open: one call at a time is let through as a probe",
    "unhealthy": "unhealthy: its health checks fail",
    "full": "full: as many calls as `max_concurrency` allows",
    "draining": "draining: it is being taken out of service",
    "no tools": "its model takes no tools",
    "no vision": "its model takes no images",
    "no json_schema": "its model takes no JSON schema",
    "context window": "its window is too small for the request",
}
"""By what speaks against a candidate."""

STRATEGIES: dict[Strategy, str] = {
    "priority": "first",
    "round_robin": "its turn",
    "weighted": "its turn by weight",
    "least_busy": "the least calls under way for its weight; chance decides among equals",
    "latency": "the better of two drawn by chance",
    "cost": "the cheapest",
}
"""Why a sound candidate is the one, by the strategy of its model."""


def fault_words(fault: str) -> str:
    """A fault's kind in words."""
    return FAULTS.get(fault, fault)


def first_words(strategy: Strategy, model: str, against: str, passed: Sequence[str], *, own: bool) -> str:
    """Why a candidate is asked first. `passed`: what stood before it, with reasons; `own`: of the model itself."""
    where = f"`{model}`" if own else f"fallback `{model}`"
    match against:
        case "busy":
            return f"nobody sound is left; of those that are busy {where} has the one that is free first"
        case "ejected" | "unhealthy":
            return "nothing else is left: the one that is out longest"
        case "probing":
            words = f"a probe: its breaker in {where} is half open, and this call is let through"
        case "full":
            words = f"a place came free in {where}"
        case "slow":
            words = f"slow, but no other of {where} is sound"
        case _:
            words = f"{STRATEGIES[strategy]} in {where}"
    return f"{words}; passed over: {', '.join(passed)}" if passed else words


def seconds_words(seconds: float) -> str:
    """A duration."""
    if seconds < 1.0:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds:.0f} s"
