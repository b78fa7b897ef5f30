"""Where the API might be, if it is not where the configuration says: a few looks at the same server.

Owns the paths that are looked at and the reading of what comes back. Does not own when that is worthwhile
(models_step.py).

No credential is sent: on a shared host another path may be somebody else's. A server that refuses any path without a
key would seem to have an API everywhere, so a path that nobody has is looked at first.
"""

import msgspec

from trunkline.engine.diagnosis.case import Case
from trunkline.errors import Answer
from trunkline.net.url import parse_base_url
from trunkline.providers.model_list import parse_models

NOWHERE = "/trunkline-doctor-looks-for-nothing-here"
PLACES = ("/v1", "/api/v1", "/openai/v1", "/api", "/v1beta/openai", "/inference/v1", "")
"""What stands in front of `/models`: plain servers; OpenRouter, web interfaces; Groq, Azure; Open WebUI; Gemini;
Fireworks; services without a version."""


async def find_api(case: Case) -> str:
    """The base URL under which the same server has an API, "" if none was found."""
    nowhere = await case.look(NOWHERE + "/models")
    guarded = isinstance(nowhere, Answer) and nowhere.status in (401, 403)
    everything = isinstance(nowhere, Answer) and nowhere.status == 200
    if everything or not isinstance(nowhere, Answer):
        return ""
    for place in PLACES:
        if place == case.base.api_path:
            continue
        answer = await case.look(f"{place}/models")
        if isinstance(answer, Answer) and _is_api(answer, guarded=guarded):
            return _url(case, place)
    return ""


def _is_api(answer: Answer, *, guarded: bool) -> bool:
    if answer.status == 200:
        return parse_models(answer.body) is not None
    if guarded or answer.status not in (401, 403):
        return False
    try:
        return isinstance(msgspec.json.decode(answer.body), dict)
    except (msgspec.DecodeError, UnicodeError):
        return False


def _url(case: Case, place: str) -> str:
    """How a user has to write it so that the gateway asks there."""
    for url in (f"{case.place}{place.removesuffix('/v1')}", f"{case.place}{place}"):
        if parse_base_url(url).api_path == place:
            return url
    return f"{case.place}{place}/chat/completions"
